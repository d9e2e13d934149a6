/**
 * The options of neighbour discovery, all of them: in place (ndp-option-format.ts), and read and written as records.
 */
export * from "./ndp-option-format.ts";
export { emitOptions, lengthOfOption, lengthOfOptions } from "./ndp-option-emit.ts";
export { parseOptions } from "./ndp-option-parse.ts";
