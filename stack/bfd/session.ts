/**
 * A BFD session as programs hold it: with the system at the other end of one link, over one interface of a host; and a monitor
 * of paths, for what it knows of that link.
 */
import type { PathMonitor, Verdict } from "../ip/paths/monitor.ts";
import type { Path } from "../ip/paths/path.ts";
import type { Timer } from "../loop/timers.ts";
import type { Network } from "../transport/network.ts";
import type { UdpSocket } from "../udp/socket.ts";
import type { IpAddress } from "../wire/address.ts";
import { CONTROL_PORT, ECHO_PORT, STATE, type State } from "../wire/bfd.ts";
import { type BfdChange, type BfdState, STATES } from "./change.ts";
import { EchoSender } from "./echo-sender.ts";
import { Judgement } from "./judgement.ts";
import { Machine, type MachineIo, type Reception, type Transition } from "./machine.ts";
import { type BfdTimes, type CheckedBfdOptions, checkTimes, MAX_INTERVAL_MS } from "./options.ts";
import { Sender } from "./sender.ts";

/** Counters of one session, in packets unless the name says otherwise. */
export interface BfdSessionStatistics {
  readonly received: number;
  readonly sent: number;
  /** Not sent: the link down, no address, no room, or nobody known at the peer's address. */
  readonly refused: number;
  /** Not taken, for want of the right authentication. */
  readonly unproven: number;
  readonly echoesSent: number;
  readonly echoesReturned: number;
  readonly ups: number;
  readonly downs: number;
}

/** What a session needs of its keeper. */
export interface SessionOwner {
  readonly network: Network;
  /** For its own port: unique among sessions, from IANA's dynamic range (RFC 5881 section 4). */
  openPort(options: CheckedBfdOptions): UdpSocket;
  /** Makes packets find it. Throws a RangeError where there is no room. */
  enter(session: BfdSession): void;
  left(session: BfdSession): void;
}

const US_PER_MS = 1000;

export class BfdSession implements PathMonitor {
  readonly kind = "bfd";
  readonly peer: IpAddress;
  /** The host's number of the interface. */
  readonly interface: number;
  readonly options: CheckedBfdOptions;
  readonly #owner: SessionOwner;
  readonly #machine: Machine;
  readonly #echoes: EchoSender;
  readonly #timer: Timer;
  #dueMs = Infinity;
  #socket: UdpSocket | undefined;
  #control: Sender | undefined;
  readonly #judgement: Judgement;
  #told: ((verdict: Verdict, silentMs: number) => void) | undefined;
  /** "leaving": tells the peer that it goes, and is nobody's any more. */
  #life: "open" | "leaving" | "closed" = "closed";
  #farewell: Timer | undefined;
  readonly #counters: { -readonly [K in keyof BfdSessionStatistics]: number } = {
    received: 0,
    sent: 0,
    refused: 0,
    unproven: 0,
    echoesSent: 0,
    echoesReturned: 0,
    ups: 0,
    downs: 0,
  };

  /** For `Bfd`. */
  constructor(owner: SessionOwner, options: CheckedBfdOptions, discriminator: number) {
    const { network } = owner;
    this.#owner = owner;
    this.options = options;
    this.#judgement = new Judgement(options.strict);
    this.peer = options.peer;
    this.interface = network.interfaceNamed(options.interface);
    this.#echoes = new EchoSender(discriminator, network.random, (own) =>
      this.#sender(own, own, ECHO_PORT, ECHO_PORT),
    );
    const io: MachineIo = {
      send: () => this.#sendControl(),
      echo: (sequence) => this.#sendEcho(sequence),
      changed: (transition) => this.#changed(transition),
    };
    this.#machine = new Machine(options, discriminator, network.random, io);
    this.#timer = network.after(0, () => this.#due());
    this.#timer.cancel();
    this.#open();
  }

  /** What the peer names this session by. Never 0. */
  get discriminator(): number {
    return this.#machine.discriminator;
  }

  get state(): BfdState {
    return STATES[this.#machine.state];
  }

  get remoteState(): BfdState {
    return STATES[this.#machine.remoteState];
  }

  /** Why it is in its state: RFC 5880 section 4.1, `bfd.DIAGNOSTIC`. */
  get diagnostic(): number {
    return this.#machine.diagnostic;
  }

  get verdict(): Verdict {
    return this.#judgement.verdict;
  }

  /** Of the last echo; without echoes, of the last poll that was answered at once. */
  get rttMs(): number | undefined {
    return this.#machine.rttMs;
  }

  /** Ms without a packet after which it goes down, as agreed now; 0 before the peer was heard. */
  get detectionMs(): number {
    return this.#machine.intervals.detectMs;
  }

  /** Ms between packets of ours, as agreed now, before jitter. */
  get transmitMs(): number {
    return this.#machine.intervals.transmitMs;
  }

  /** True while a change of times waits for the peer's answer. */
  get polling(): boolean {
    return this.#machine.intervals.poll === "asking";
  }

  /** True while echoes of ours are what failures are seen by: the peer has sent one back. */
  get echoing(): boolean {
    return this.#machine.echo.active;
  }

  /** True while echoes of ours may come back. For `Bfd`. */
  get waitsForEchoes(): boolean {
    return this.#machine.echo.running;
  }

  /** False after `close`. */
  get open(): boolean {
    return this.#life === "open";
  }

  /** Judges `path` from now on. A closed session opens again. Throws a TypeError where it is over another interface. */
  start(path: Path, changed: (verdict: Verdict, silentMs: number) => void): void {
    if (path.interface !== this.interface)
      throw new TypeError(
        `a BFD session over "${this.options.interface}" can't judge a path over "${path.name}"`,
      );
    this.#told = changed;
    if (this.#life !== "open") this.#open();
  }

  /** Changes times while it runs: the peer is asked to agree, and nothing is lost meanwhile (RFC 5880 section 6.8.3). */
  update(times: BfdTimes): void {
    this.#assertOpen();
    const machine = this.#machine;
    machine.retime(checkTimes(times, machine.intervals.wanted), this.#owner.network.now);
    this.#settle();
  }

  /** Takes it down, and tells the peer that this is no failure (RFC 5880 section 6.8.16). */
  disable(): void {
    this.#assertOpen();
    this.#machine.disable(this.#owner.network.now);
    this.#settle();
  }

  /** Lets it come up again. */
  enable(): void {
    this.#assertOpen();
    this.#machine.enable(this.#owner.network.now);
    this.#settle();
  }

  statistics(): BfdSessionStatistics {
    return { ...this.#counters };
  }

  /** A control packet for it that `check` finds right, over one hop. For `Bfd`. */
  receive(view: DataView, bytes: Uint8Array, at: number): Reception {
    const machine = this.#machine;
    const reception = machine.receive(view, bytes, at, this.#owner.network.now);
    if (reception === "unproven") {
      this.#counters.unproven += 1;
      return reception;
    }
    this.#counters.received += 1;
    // A peer that is up hears us: whoever has its Ethernet address knows that it is right (RFC 4861 section 7.3.1).
    if (machine.up && machine.remoteState === STATE.UP) this.#control?.destination.confirm();
    this.#review(0);
    this.#settle();
    return reception;
  }

  /** An echo of ours came back. False where it is not waited for. For `Bfd`. */
  echoReturned(nonce: number, sequence: number): boolean {
    if (!this.#echoes.sent(nonce) || !this.#machine.echoReturned(sequence, this.#owner.network.now))
      return false;
    this.#counters.echoesReturned += 1;
    this.#settle();
    return true;
  }

  /**
   * Ends it: the peer is told for as long as it takes to be sure of it (RFC 5880 section 6.8.16), while others may open one to
   * the same peer. Idempotent.
   */
  close(): void {
    this.#told = undefined;
    if (this.#life !== "open") return;
    const { network } = this.#owner;
    this.#life = "leaving";
    this.#machine.disable(network.now);
    this.#settle();
    // Whoever hears of the change may have opened it again, or ended it.
    if (this.#life === "leaving") this.#farewell = network.after(this.#farewellMs, () => this.end());
  }

  /** As long as the peer waits for packets of ours (section 6.8.4), unless it asks for none, or for one in an hour. */
  get #farewellMs(): number {
    const { transmitMs, wanted } = this.#machine.intervals;
    return transmitMs === Infinity ? 0 : wanted.multiplier * Math.min(transmitMs, MAX_INTERVAL_MS);
  }

  /** Ends it without another word. For `Bfd`. */
  end(): void {
    if (this.#life === "closed") return;
    this.#life = "closed";
    this.#told = undefined;
    this.#farewell?.cancel();
    this.#machine.stop();
    this.#timer.cancel();
    this.#socket?.close();
    this.#socket = undefined;
    this.#owner.left(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #assertOpen(): void {
    if (this.#life !== "open") throw new TypeError(`the BFD session with ${this.peer} is closed`);
  }

  #open(): void {
    const { network } = this.#owner;
    const wasLeaving = this.#life === "leaving";
    this.#farewell?.cancel();
    if (!wasLeaving) {
      this.#owner.enter(this);
      try {
        this.#socket = this.#owner.openPort(this.options);
      } catch (error) {
        this.#owner.left(this);
        throw error;
      }
      this.#control = this.#sender(this.peer, this.options.local, this.#socket.localPort, CONTROL_PORT);
    }
    this.#life = "open";
    this.#judgement.begin();
    this.#machine.enable(network.now);
    this.#settle();
  }

  #sender(to: IpAddress, from: IpAddress | undefined, fromPort: number, toPort: number): Sender {
    const { peer, options } = this;
    return new Sender(
      this.#owner.network,
      {
        interface: this.interface,
        station: peer,
        to,
        from,
        fromPort,
        toPort,
        trafficClass: options.trafficClass,
      },
      options.times.txUs / US_PER_MS,
    );
  }

  readonly #write = (view: DataView, bytes: Uint8Array, at: number): void =>
    this.#machine.write(view, bytes, at);

  #sendControl(): void {
    if (this.#control?.send(this.#machine.packetBytes, this.#write) === 0) this.#counters.sent += 1;
    else this.#counters.refused += 1;
  }

  #sendEcho(sequence: number): void {
    if (this.#echoes.send(sequence, this.options.local ?? this.#control?.destination.source))
      this.#counters.echoesSent += 1;
    else this.#counters.refused += 1;
  }

  #due(): void {
    const { now } = this.#owner.network;
    this.#dueMs = Infinity;
    this.#machine.advance(now);
    this.#review(now - (this.#machine.heardMs ?? now));
    this.#settle();
  }

  /** Sets the timer for what the machine wants next. */
  #settle(): void {
    if (this.#life === "closed") return;
    const { nextMs } = this.#machine;
    if (nextMs === this.#dueMs) return;
    this.#dueMs = nextMs;
    if (nextMs === Infinity) this.#timer.cancel();
    else this.#timer.restart(Math.max(0, nextMs - this.#owner.network.now));
  }

  #changed({ state, previous, diagnostic, silentMs }: Transition): void {
    if (state === STATE.UP) this.#counters.ups += 1;
    else if (previous === STATE.UP) this.#counters.downs += 1;
    this.#review(silentMs);
    if (this.options.onChange === undefined) return;
    this.#report(this.options.onChange, {
      atMs: this.#owner.network.now,
      state: STATES[state],
      previous: STATES[previous],
      diagnostic,
      remoteDiagnostic: this.#machine.remoteDiagnostic,
      verdict: this.verdict,
      silentMs,
    });
  }

  /** What a listener throws is the loop's to report: a session whose timer was not set would be silent for ever. */
  #report(listener: (change: BfdChange) => void, change: BfdChange): void {
    try {
      listener(change);
    } catch (error) {
      this.#owner.network.after(0, () => {
        throw error;
      });
    }
  }

  /** Tells of another verdict, which may come without a change of state. */
  #review(silentMs: number): void {
    if (this.#judgement.review(this.#machine, this.#owner.network.now)) this.#told?.(this.verdict, silentMs);
  }
}
