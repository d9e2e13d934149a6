/**
 * The public names of `millrace/stack`: everything that is plain TypeScript, from frames to the loop.
 */
export type {
  Accounts,
  Burst,
  Clock,
  Device,
  DeviceStatistics,
  LinkEvent,
  Queue,
  SignalSource,
  Umem,
  Waiter,
} from "./device/device.ts";
export { CaptureReader } from "./device/capture.ts";
export type { CaptureInterface, CapturePacket, CaptureTrouble } from "./device/captureformat.ts";
export { faulty, type FaultOptions, type FaultRates, type FaultyDevice } from "./device/fault.ts";
export { createBurst, Frame, FrameEndedError, Lease } from "./device/frame.ts";
export { createLink, MemoryDevice, type LinkOptions, type MemoryStatistics } from "./device/memory.ts";
export { record, Recorder, type RecordOptions } from "./device/record.ts";
export { Replay, type ReplayOptions } from "./device/replay.ts";
export { DIRECTION, PcapngWriter, type Direction, type PcapngOptions } from "./device/pcapng.ts";
export { MemoryUmem, type UmemOptions } from "./device/pool.ts";
export { seededRandom, type Random } from "./device/random.ts";
export { MAX_PACKET_CHUNKS, Transmitter } from "./device/transmit.ts";
export { Loop } from "./loop/loop.ts";
export type { LoopOptions, LoopStatistics, WaitMode } from "./loop/options.ts";
export type { Subscription } from "./loop/subscription.ts";
export type { ErrorHandler, ErrorSource } from "./loop/errors.ts";
export type { LinkHandler } from "./loop/member.ts";
export { FrameBurst, type BurstHandler, type FrameHandler } from "./loop/receiver.ts";
export type { Timer } from "./loop/timers.ts";
