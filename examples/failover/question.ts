/** What a question and its answer look like: the same bytes, but for a word in which whoever answers says where it heard it. */

/** Which question it is, counted over all flows of one asker. */
export const NUMBER_AT = 0;
const WORD = 4;
/** Which of the asker's flows it belongs to. */
export const FLOW_AT = NUMBER_AT + WORD;
/** In an answer the number of the interface that the question came in on; 0 in a question, and from those who don't say. */
export const HEARD_ON_AT = FLOW_AT + WORD;
export const QUESTION_BYTES = 64;
/** Where questions go, unless somebody says otherwise. */
export const PORT = 9000;

/** Writes a question. */
export const writeQuestion = (view: DataView, at: number, number: number, flow: number): void => {
  for (let offset = 0; offset < QUESTION_BYTES; offset += WORD) view.setUint32(at + offset, 0);
  view.setUint32(at + NUMBER_AT, number);
  view.setUint32(at + FLOW_AT, flow);
};
