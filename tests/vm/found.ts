/** What a survey finds of one feature on one kind of device, and the line of text that carries it out of a guest. */

/** "wrong": it was accepted and then did not do what it should. "absent": there is nothing of the kind to try. */
export const ANSWERS = ["works", "refused", "wrong", "absent"] as const;
export type SurveyAnswer = (typeof ANSWERS)[number];

export interface Found {
  readonly feature: string;
  readonly device: string;
  readonly answer: SurveyAnswer;
  /** By name; only of a refusal. */
  readonly errno?: string;
  readonly remedy?: string;
  readonly detail: string;
}

/** The kernel that a survey ran on. */
export interface SurveyKernel {
  /** "6.1.0-50-amd64". */
  readonly release: string;
  /** "6.1.176". */
  readonly upstream: string;
}

/** In front of a finding's JSON, so that no other output is taken for one. */
const MARK = "found ";
const KERNEL_MARK = "kernel ";

export const formatKernel = (kernel: SurveyKernel): string => KERNEL_MARK + JSON.stringify(kernel);

/** The kernel that a line names; undefined for any other line. */
export const parseKernel = (line: string): SurveyKernel | undefined =>
  line.startsWith(`${KERNEL_MARK}{`)
    ? (JSON.parse(line.slice(KERNEL_MARK.length)) as SurveyKernel)
    : undefined;

export const formatFound = (found: Found): string => MARK + JSON.stringify(found);

const isText = (value: unknown): value is string => typeof value === "string";

/** The finding that a line carries; undefined for any other line. Throws where a marked line is no finding. */
export const parseFound = (line: string): Found | undefined => {
  if (!line.startsWith(`${MARK}{`)) return undefined;
  const value = JSON.parse(line.slice(MARK.length)) as Partial<Record<keyof Found, unknown>>;
  const { feature, device, answer, errno, remedy, detail } = value;
  const known = ANSWERS.find((word) => word === answer);
  if (!isText(feature) || !isText(device) || !isText(detail) || known === undefined)
    throw new Error(`not a finding: ${line}`);
  return {
    feature,
    device,
    answer: known,
    ...(isText(errno) ? { errno } : {}),
    ...(isText(remedy) ? { remedy } : {}),
    detail,
  };
};
