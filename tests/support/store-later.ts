/** A Worker that stores a number at an address of the process after a while: another thread, as the kernel is one. */
import { wrapInt32, type Pointer } from "../../ffi/sys/memory.ts";

/** Long enough for a loop of the other thread to be compiled to its last tier. */
export const STORE_AFTER_MS = 400;

export interface StoreOrder {
  readonly address: number;
  readonly value: number;
}

declare const self: Worker;

if (!Bun.isMainThread) {
  self.onmessage = ({ data }: MessageEvent<StoreOrder>) => {
    const words = wrapInt32(data.address as Pointer);
    // Said before the wait: once it spins, the other thread hears nothing.
    self.postMessage("ready");
    Bun.sleepSync(STORE_AFTER_MS);
    words[0] = data.value;
  };
}
