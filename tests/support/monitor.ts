/** The emulator's monitor, asked from inside the guest through the port that the virtual machine has for it. */
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { untilSync } from "./lab.ts";

const PORTS = "/sys/class/virtio-ports";
const PROMPT = "(qemu) ";
const READ_BYTES = 65_536;
/** The monitor answers between two steps of the emulated machine, which has other things to do. */
const ANSWER_LIMIT_MS = 20_000;

/** The device file of the monitor's port; undefined outside the virtual machine. */
const portPath = (): string | undefined => {
  let ports: string[];
  try {
    ports = readdirSync(PORTS);
  } catch {
    return undefined;
  }
  const port = ports.find((name) => {
    // The console's port has no name.
    const file = join(PORTS, name, "name");
    return existsSync(file) && readFileSync(file, "utf8").trim() === "monitor";
  });
  return port === undefined ? undefined : join("/dev", port);
};

/** Why there is no monitor here; undefined where there is one. */
export const monitorUnavailable = (): string | undefined =>
  portPath() === undefined ? "only the virtual machine has the emulator's monitor" : undefined;

const readSome = (fd: number, into: Uint8Array): string => {
  try {
    return new TextDecoder().decode(into.subarray(0, readSync(fd, into)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
    throw error;
  }
};

/** Gives the monitor one command (as in QEMU's documentation of the monitor) and returns what it says. */
export const monitor = (command: string): string => {
  const path = portPath();
  if (path === undefined) throw new Error(`cannot ask the monitor for "${command}": ${monitorUnavailable()}`);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const buffer = new Uint8Array(READ_BYTES);
    // What an earlier command left, or the greeting.
    while (readSome(fd, buffer) !== "");
    writeSync(fd, `${command}\n`);
    let answer = "";
    untilSync(
      `the monitor's answer to "${command}"`,
      () => (answer += readSome(fd, buffer)).endsWith(PROMPT) && answer.includes("\n"),
      ANSWER_LIMIT_MS,
    );
    // The command comes back letter by letter with cursor movements; what follows its line is the answer.
    return answer.slice(answer.indexOf("\n") + 1, -PROMPT.length).replaceAll("\r", "");
  } finally {
    closeSync(fd);
  }
};
