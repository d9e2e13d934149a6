/** One thing that was looked into: what, a three-way answer, why, and what can be done about it. */

/** "unknown" is an honest answer: what could not be read is neither there nor missing. */
export type Answer = "yes" | "no" | "unknown";

export interface Finding {
  /** What is asked, so that "yes" is good news: "native XDP", "CAP_BPF". */
  readonly name: string;
  readonly answer: Answer;
  /** The fact behind the answer, with its numbers. */
  readonly detail: string;
  /** What to do where the answer is not "yes", if anything can be done. */
  readonly remedy?: string;
}

/** A finding whose remedy is kept only where it is needed. */
export const finding = (
  name: string,
  answer: boolean | Answer | undefined,
  detail: string,
  remedy?: string,
): Finding => {
  const word = answer === undefined ? "unknown" : answer === true ? "yes" : answer === false ? "no" : answer;
  return { name, answer: word, detail, ...(remedy === undefined || word === "yes" ? {} : { remedy }) };
};
