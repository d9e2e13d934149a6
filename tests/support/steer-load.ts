/** A Worker that runs one packet through a program without a pause, from the first message to "stop". */
import { testRun } from "../../ffi/xdp/testrun.ts";

declare const self: Worker;

/** Some 30 ms: each run waits for the kernel once before it starts (its XDP dispatcher changes), so short ones rarely run. */
const REPEAT = 400_000;

let running = false;

self.onmessage = (event: MessageEvent<{ fd: number; packet: Uint8Array } | "stop">) => {
  if (event.data === "stop") {
    running = false;
    self.postMessage("stopped");
    return;
  }
  const { fd, packet } = event.data;
  running = true;
  const turn = (): void => {
    if (!running) return;
    testRun(fd, packet, { repeat: REPEAT });
    setImmediate(turn);
  };
  turn();
  self.postMessage("started");
};
