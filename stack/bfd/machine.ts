/**
 * A BFD session without sockets, clock or timers (RFC 5880 section 6.8): it is told of packets and of time, and says what to
 * send and when it wants to be told again.
 */
import type { Random } from "../device/random.ts";
import * as bfd from "../wire/bfd.ts";
import { type BfdRecord, DIAGNOSTIC, STATE, type State } from "../wire/bfd.ts";
import { EchoFunction } from "./echo.ts";
import { Intervals } from "./intervals.ts";
import { drawJitter } from "./jitter.ts";
import type { CheckedBfdOptions, CheckedTimes } from "./options.ts";
import { Proof } from "./proof.ts";

/**
 * Who is called later than this for a deadline was away, in ms: what came meanwhile still lies in rings, which are emptied a part
 * at a time.
 */
const AWAY_MS = 2;

/** Why a packet was not taken, or that it was. */
export type Reception = "taken" | "unproven" | "disabled";

/** A change of state. */
export interface Transition {
  readonly state: State;
  readonly previous: State;
  /** Why: one of `DIAGNOSTIC`. */
  readonly diagnostic: number;
  /** Ms since the last packet, or echo where those missed, before the one that brought the change; 0 where there was none. */
  readonly silentMs: number;
}

/** What a machine asks of whoever runs it. */
export interface MachineIo {
  /** Send a control packet: `write` writes it. */
  send(): void;
  /** Send an echo of this number. */
  echo(sequence: number): void;
  /** Called last, when all else is in order. */
  changed(transition: Transition): void;
}

export class Machine {
  readonly discriminator: number;
  readonly echo: EchoFunction;
  readonly intervals: Intervals;
  state: State = STATE.DOWN;
  remoteState: State = STATE.DOWN;
  remoteDiscriminator = 0;
  diagnostic: number = DIAGNOSTIC.NONE;
  remoteDiagnostic: number = DIAGNOSTIC.NONE;
  /** When the peer was heard last; undefined before it ever was. */
  heardMs: number | undefined;
  readonly #options: CheckedBfdOptions;
  readonly #random: Random;
  readonly #io: MachineIo;
  readonly #proof: Proof | undefined;
  /** The packet that was sent last. */
  readonly #said: { -readonly [K in keyof BfdRecord]: BfdRecord[K] };
  #remoteDemand = false;
  #remoteEchoUs = 0;
  #sentMs = -Infinity;
  #jitter = 1;
  /** Until when silence is our own fault, as far as we know; that can be said once of each silence. */
  #excusedMs = -Infinity;
  #excused = false;
  /** Polls that wait for their answer, and when the last one left. */
  #polls = 0;
  #polledMs = 0;
  #pollRttMs: number | undefined;
  #saidAnything = false;
  #running = false;
  #transition: Transition | undefined;

  /** `discriminator`: not 0, and no other session's of this host. */
  constructor(options: CheckedBfdOptions, discriminator: number, random: Random, io: MachineIo) {
    this.#options = options;
    this.#random = random;
    this.#io = io;
    this.discriminator = discriminator;
    this.intervals = new Intervals(options.times);
    this.echo = new EchoFunction(options.echoUs, random);
    this.#proof =
      options.authentication === undefined ? undefined : new Proof(options.authentication, random);
    this.#said = {
      diagnostic: DIAGNOSTIC.NONE,
      state: STATE.DOWN,
      poll: false,
      final: false,
      // Whoever forwards here is the program that speaks here.
      independent: false,
      demand: false,
      detectMultiplier: 1,
      myDiscriminator: discriminator,
      yourDiscriminator: 0,
      desiredMinTxUs: 0,
      requiredMinRxUs: 0,
      requiredMinEchoRxUs: 0,
      authentication: undefined,
    };
  }

  get up(): boolean {
    return this.state === STATE.UP;
  }

  /** Bytes that `write` writes. */
  get packetBytes(): number {
    return bfd.lengthOf(this.#said);
  }

  /** The round trip of the last echo; without echoes, of a poll that was answered at once. */
  get rttMs(): number | undefined {
    return this.echo.rttMs ?? this.#pollRttMs;
  }

  /** When `advance` is to be called at the latest, in ms. */
  get nextMs(): number {
    return Math.min(this.#transmitAtMs, this.#silentAtMs, this.echo.nextMs);
  }

  /** Begins, or takes up again what `disable` or `stop` ended. */
  enable(nowMs: number): void {
    // Nobody watched the time while it was stopped: who was heard too long ago is unknown now.
    if (!this.#running && nowMs >= this.#silentAtMs) this.#fellSilent(nowMs);
    this.#running = true;
    if (this.state === STATE.ADMIN_DOWN) this.#enter(STATE.DOWN, DIAGNOSTIC.NONE, 0, nowMs);
    this.#finish(nowMs);
  }

  /** Goes AdminDown, for a reason that the peer is told (section 6.8.16), and stays there. */
  disable(nowMs: number, diagnostic: number = DIAGNOSTIC.ADMINISTRATIVELY_DOWN): void {
    this.#enter(STATE.ADMIN_DOWN, diagnostic, 0, nowMs);
    this.#finish(nowMs);
  }

  /** Sends no more but what `disable` may yet. */
  stop(): void {
    this.#running = false;
  }

  /** Wants other times, which a poll sequence tells the peer (section 6.8.3). */
  retime(times: CheckedTimes, nowMs: number): void {
    this.intervals.want(times);
    this.intervals.settle(this.up);
    this.#settleEcho(nowMs);
    this.#finish(nowMs);
  }

  /** A packet that `check` finds right, for this session, over one hop. */
  receive(view: DataView, bytes: Uint8Array, at: number, nowMs: number): Reception {
    // "A" without a proof in use, and a proof in use without "A", are both wrong.
    if (bfd.isAuthenticated(view, at) !== (this.#proof !== undefined)) return "unproven";
    if (this.#proof?.judge(view, bytes, at, nowMs) === false) return "unproven";
    this.#learn(view, at, nowMs);
    this.#proof?.keep(nowMs, this.intervals.detectMs);
    const silentMs = this.#silentMs(nowMs);
    // Also where it is discarded for AdminDown, as the next line does: whoever is heard is known still (section 6.8.1).
    this.heardMs = nowMs;
    this.#excused = false;
    if (this.state === STATE.ADMIN_DOWN) return "disabled";
    this.#follow(silentMs, nowMs);
    this.#finish(nowMs, bfd.isPoll(view, at));
    return "taken";
  }

  /** An echo of ours came back. False where it is none that is waited for. */
  echoReturned(sequence: number, nowMs: number): boolean {
    const first = !this.echo.active;
    if (!this.echo.returned(sequence, nowMs)) return false;
    this.#excused = false;
    if (first) {
      this.#settleEcho(nowMs);
      this.#finish(nowMs);
    }
    return true;
  }

  /** Does what is due. */
  advance(nowMs: number): void {
    this.#excuse(nowMs);
    if (nowMs >= this.#silentAtMs) this.#fellSilent(nowMs);
    if (this.echo.failed(nowMs)) {
      const silentMs = this.echo.silentMs(nowMs);
      this.#enter(STATE.DOWN, DIAGNOSTIC.ECHO_FAILED, silentMs, nowMs);
    }
    const sequence = this.echo.due(nowMs);
    if (sequence !== undefined) this.#io.echo(sequence);
    if (nowMs >= this.#transmitAtMs) this.#send(false, nowMs);
    this.#finish(nowMs);
  }

  /** Writes the packet that `send` asked for, `packetBytes` long. */
  write(view: DataView, bytes: Uint8Array, at: number): void {
    const length = bfd.emit(this.#said, view, at);
    this.#proof?.sign(bytes, at, length);
  }

  /** What the packet says of the peer (section 6.8.6, from "Set bfd.RemoteDiscr" on). */
  #learn(view: DataView, at: number, nowMs: number): void {
    const { intervals } = this;
    this.remoteDiscriminator = bfd.myDiscriminator(view, at);
    this.remoteState = bfd.state(view, at);
    this.remoteDiagnostic = bfd.diagnostic(view, at);
    this.#remoteDemand = bfd.isDemand(view, at);
    this.#remoteEchoUs = bfd.requiredMinEchoRxUs(view, at);
    intervals.remoteMinRxUs = bfd.requiredMinRxUs(view, at);
    intervals.remoteMinTxUs = bfd.desiredMinTxUs(view, at);
    intervals.remoteMultiplier = bfd.detectMultiplier(view, at);
    const final = bfd.isFinal(view, at);
    // Of several, nobody knows which one it answers.
    if (final && this.#polls === 1) this.#pollRttMs = nowMs - this.#polledMs;
    if (final) this.#polls = 0;
    intervals.heard(final, nowMs);
    this.#settleEcho(nowMs);
  }

  /** The state machine (sections 6.2 and 6.8.6). */
  #follow(silentMs: number, nowMs: number): void {
    const next = stateAfter(this.state, this.remoteState);
    if (next === this.state) return;
    if (next === STATE.DOWN) this.#enter(next, DIAGNOSTIC.NEIGHBOUR_SIGNALLED_DOWN, silentMs, nowMs);
    // Whoever comes up says until then why it went down.
    else this.#enter(next, next === STATE.UP ? DIAGNOSTIC.NONE : this.diagnostic, silentMs, nowMs);
  }

  /** Waits once more for what may lie in rings since we were away: as long as we were, a detection time at the most. */
  #excuse(nowMs: number): void {
    const lateMs = nowMs - Math.min(this.#silentAtMs, this.echo.failsAtMs);
    if (this.#excused || lateMs <= AWAY_MS) return;
    this.#excused = true;
    this.#excusedMs = nowMs + Math.min(lateMs, this.intervals.detectMs);
    this.echo.excuse(this.#excusedMs);
  }

  /** A detection time passed without a packet (sections 6.8.1 and 6.8.4). */
  #fellSilent(nowMs: number): void {
    const silentMs = this.#silentMs(nowMs);
    this.remoteDiscriminator = 0;
    this.remoteState = STATE.DOWN;
    this.#remoteDemand = false;
    this.#remoteEchoUs = 0;
    this.intervals.forget();
    if (this.state === STATE.INIT || this.up)
      this.#enter(STATE.DOWN, DIAGNOSTIC.DETECTION_TIME_EXPIRED, silentMs, nowMs);
  }

  #enter(state: State, diagnostic: number, silentMs: number, nowMs: number): void {
    const previous = this.state;
    this.state = state;
    this.diagnostic = diagnostic;
    this.intervals.settle(this.up);
    this.#settleEcho(nowMs);
    if (previous !== state) this.#transition = { state, previous, diagnostic, silentMs };
  }

  #settleEcho(nowMs: number): void {
    const { echo, intervals } = this;
    echo.settle(this.up, this.#remoteEchoUs, intervals.wanted.multiplier, nowMs);
    intervals.settle(this.up, echo.active);
  }

  /**
   * After everything: answers a poll, says at once what is new (section 6.8.7), and tells of a change. Where new times are the news,
   * that packet begins the poll sequence too, and the beat goes on from it; all further polls are on beat (section 6.5).
   */
  #finish(nowMs: number, polled = false): void {
    if (polled) this.#send(true, nowMs);
    else if (this.#running && this.#mayTransmit && this.#hasNews) this.#send(false, nowMs);
    const transition = this.#transition;
    this.#transition = undefined;
    if (transition !== undefined) this.#io.changed(transition);
  }

  #send(final: boolean, nowMs: number): void {
    const said = this.#said;
    said.diagnostic = this.diagnostic;
    said.state = this.state;
    said.final = final;
    said.poll = !final && this.intervals.poll === "asking";
    said.detectMultiplier = this.intervals.wanted.multiplier;
    said.yourDiscriminator = this.remoteDiscriminator;
    said.desiredMinTxUs = this.intervals.saidTxUs;
    said.requiredMinRxUs = this.intervals.saidRxUs;
    said.requiredMinEchoRxUs = this.#options.reflectEchoUs;
    if (this.#proof !== undefined) said.authentication = this.#proof.next();
    this.#saidAnything = true;
    // An answer is no beat of ours.
    if (!final) {
      this.#sentMs = nowMs;
      this.#jitter = drawJitter(this.#random, said.detectMultiplier);
      this.#polls = said.poll ? this.#polls + 1 : 0;
      this.#polledMs = nowMs;
    }
    this.#io.send();
  }

  /** True where a packet would say what the last one did not, polls aside. */
  get #hasNews(): boolean {
    const said = this.#said;
    return (
      !this.#saidAnything ||
      said.state !== this.state ||
      said.diagnostic !== this.diagnostic ||
      said.yourDiscriminator !== this.remoteDiscriminator ||
      said.detectMultiplier !== this.intervals.wanted.multiplier ||
      said.desiredMinTxUs !== this.intervals.saidTxUs ||
      said.requiredMinRxUs !== this.intervals.saidRxUs
    );
  }

  /** Who is passive and has heard nobody is silent. */
  get #mayTransmit(): boolean {
    return !(this.#options.passive && this.remoteDiscriminator === 0);
  }

  get #transmitAtMs(): number {
    if (!this.#running || !this.#mayTransmit) return Infinity;
    const { intervals } = this;
    const silenced = this.#remoteDemand && this.up && this.remoteState === STATE.UP;
    if (silenced && intervals.poll !== "asking") return Infinity;
    const { transmitMs } = intervals;
    return transmitMs === Infinity ? Infinity : this.#sentMs + transmitMs * this.#jitter;
  }

  get #silentAtMs(): number {
    if (this.remoteDiscriminator === 0) return Infinity;
    return Math.max((this.heardMs ?? 0) + this.intervals.detectMs, this.#excusedMs);
  }

  #silentMs(nowMs: number): number {
    return nowMs - (this.heardMs ?? nowMs);
  }
}

/** Where a session that is not AdminDown goes when the peer says its own state (sections 6.2 and 6.8.6). */
const stateAfter = (state: State, remote: State): State => {
  if (remote === STATE.ADMIN_DOWN) return STATE.DOWN;
  if (state === STATE.UP) return remote === STATE.DOWN ? STATE.DOWN : STATE.UP;
  if (state === STATE.INIT) return remote === STATE.DOWN ? STATE.INIT : STATE.UP;
  if (remote === STATE.UP) return STATE.DOWN;
  return remote === STATE.DOWN ? STATE.INIT : STATE.UP;
};
