/**
 * A few lines at the bottom of a terminal that are redrawn in place.
 */
import { clip, columns, rows } from "./paint.ts";

/** ECMA-48: cursor up, erase to the end of the line or of the screen; DEC: hide and show the cursor. */
const up = (lines: number): string => (lines > 0 ? `\u001b[${lines}A` : "");
const ERASE_LINE = "\u001b[K";
const ERASE_BELOW = "\u001b[J";
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";

export class Panel implements Disposable {
  /** False where standard output is no terminal: then nothing can be redrawn, and `draw` does nothing. */
  readonly live = process.stdout.isTTY === true;
  #drawn = 0;
  #hidden = false;
  readonly #restore = (): void => this.#showCursor();

  constructor() {
    // A cursor that stays hidden spoils the shell that comes after, however this process ends.
    process.on("exit", this.#restore);
  }

  /**
   * Replaces what was drawn before. What is wider than the terminal is cut, and of more lines than it has the last are shown:
   * a line that wraps, or has left the screen, is one that cannot be gone back to.
   */
  draw(all: readonly string[]): void {
    if (!this.live) return;
    const width = columns();
    // The cursor stands on a line of its own below them.
    const room = Math.max(1, rows() - 1);
    const lines = all.slice(-room).map((line) => clip(line, width));
    const hide = this.#hidden ? "" : HIDE_CURSOR;
    this.#hidden = true;
    const text = lines.map((line) => `${line}${ERASE_LINE}\n`).join("");
    process.stdout.write(`${hide}${up(this.#drawn)}\r${text}${ERASE_BELOW}`);
    this.#drawn = lines.length;
  }

  /** Leaves what was drawn standing and gives the cursor back. */
  [Symbol.dispose](): void {
    this.#showCursor();
    process.off("exit", this.#restore);
  }

  #showCursor(): void {
    if (!this.#hidden) return;
    this.#hidden = false;
    process.stdout.write(SHOW_CURSOR);
  }
}
