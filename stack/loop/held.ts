/**
 * The receiver behind `loop.events`: it hands out a turn's frames without calling anybody, and holds them until told.
 */
import type { Burst, Device, Queue } from "../device/device.ts";
import { createBurst, Frame, type Outbox } from "../device/frame.ts";
import type { LoopEvent } from "./events.ts";
import { beginLong, BURSTS_PER_TURN, type Received, type TurnReceiver } from "./receiver.ts";

/** A frame that came in, lent until the next burst of events is asked for. The same objects each time. */
export interface FrameEvent extends LoopEvent {
  readonly kind: "frame";
  readonly frame: Frame;
  readonly device: Device;
}

/** One for each packet that a queue can hand over in a turn. */
class HeldFrame implements FrameEvent {
  readonly kind = "frame";
  readonly frame: Frame;
  readonly device: Device;
  atMs = 0;

  constructor(frame: Frame, device: Device) {
    this.frame = frame;
    this.device = device;
  }
}

class HeldLane {
  readonly queue: Queue;
  readonly burst: Burst;
  readonly events: readonly HeldFrame[];
  /** Chunks and packets that are held. */
  chunks = 0;
  packets = 0;

  constructor(queue: Queue, device: Device, capacity: number, outbox: Outbox) {
    this.queue = queue;
    this.burst = createBurst(capacity);
    this.events = Array.from(
      { length: capacity },
      () => new HeldFrame(new Frame(queue, this.burst, outbox), device),
    );
  }
}

/** Where held frames are told of. */
export interface FrameSink {
  /** The time of the turn, in ms. */
  readonly now: number;
  push(event: FrameEvent): void;
}

export class HeldReceiver implements TurnReceiver {
  readonly #lanes: readonly HeldLane[];
  readonly #failed: (error: unknown) => void;
  readonly #sink: FrameSink;

  /** `burst` is the chunks of one burst; a turn holds as many as other receivers handle in one, in one piece. */
  constructor(
    device: Device,
    burst: number,
    failed: (error: unknown) => void,
    outbox: Outbox,
    sink: FrameSink,
  ) {
    const capacity = burst * BURSTS_PER_TURN;
    this.#lanes = device.queues.map((queue) => new HeldLane(queue, device, capacity, outbox));
    this.#failed = failed;
    this.#sink = sink;
  }

  /** Nothing to do: it is not asked any more, and what is held stays so until `settle`. */
  close(): void {}

  /** Tells the sink of what has arrived on queues whose frames were settled. */
  turn(received: Received): void {
    for (const lane of this.#lanes) {
      if (lane.chunks > 0) continue;
      const count = lane.queue.receive(lane.burst);
      if (count === 0) continue;
      lane.chunks = count;
      this.#lend(lane, count);
      received.bursts += 1;
      received.packets += lane.packets;
    }
  }

  /** The end of all held frames, as at the end of a handler: what nobody took goes to the pool. The caller flushes. */
  settle(): void {
    for (const lane of this.#lanes) {
      const { chunks, packets, events, queue } = lane;
      if (chunks === 0) continue;
      lane.chunks = 0;
      lane.packets = 0;
      for (let i = 0; i < packets; i++) events[i]!.frame.end();
      try {
        queue.settle(lane.burst, chunks);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  #lend(lane: HeldLane, count: number): void {
    const { burst, events } = lane;
    const { address, length, more } = burst;
    const sink = this.#sink;
    const { now } = sink;
    let packets = 0;
    for (let i = 0; i < count; packets++) {
      const event = events[packets]!;
      const { frame } = event;
      event.atMs = now;
      if (more[i] === 0) {
        frame.begin(address[i]!, length[i]!, length[i]!, i, 1);
        i += 1;
      } else i = beginLong(frame, burst, i, count);
      sink.push(event);
    }
    lane.packets = packets;
  }
}
