/** The error of a call that must fail with a SystemError; any other outcome is the test's failure. */
import { SystemError } from "../../index.ts";

export const failure = (work: () => unknown): SystemError => {
  try {
    work();
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
  throw new Error("it should have failed");
};
