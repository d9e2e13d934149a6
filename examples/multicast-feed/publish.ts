/**
 * The publisher: the same numbered datagrams to a group on each interface, at a steady rate.
 */
import { type Host, type Loop, Remote } from "millrace";
import { grouped, Meter, packetRate } from "../support/meter.ts";
import { print } from "../support/program.ts";
import type { Side } from "./groups.ts";
import * as message from "./message.ts";

export interface PublishOptions {
  readonly pps: number;
  /** Of a datagram, in bytes. */
  readonly size: number;
  /** What is left out at random, on each side for itself: 0 to 1. */
  readonly loss: number;
  /** Ends after so many. */
  readonly count: number;
  readonly json: boolean;
}

/** A timer is no finer than it has to be for a smooth stream. */
const BURST_MS = 1;
const EVERY_MS = 1000;
const MS_PER_S = 1000;
/** A publisher that was held up goes on at its rate; it does not send all at once what it missed. */
const MAX_BURST = 256;
const SESSIONS = 2 ** 32;
const NUMBERS = 2 ** 32;

/** Publishes until the loop ends, and ends it after `count` datagrams. */
export const publish = (host: Host, loop: Loop, sides: readonly Side[], options: PublishOptions): void => {
  const { pps, size, loss, count, json } = options;
  const socket = host.udp({ multicastLoopback: false }, () => {});
  const remotes = sides.map(({ group, port, interface: name }) => socket.to(`${group}%${name}`, port));
  const session = Math.floor(Math.random() * SESSIONS);
  let published = 0;
  let leftOut = 0;
  let refused = 0;
  const write = (view: DataView, at: number): void => message.write(view, at, session, published % NUMBERS);
  const send = (to: Remote): void => {
    if (Math.random() < loss) leftOut += 1;
    else if (!socket.send(to, size, write)) refused += 1;
  };
  let startedMs = loop.now;
  loop.every(BURST_MS, () => {
    let due = Math.floor(((loop.now - startedMs) * pps) / MS_PER_S);
    if (due > MAX_BURST) startedMs = loop.now;
    else startedMs += (due * MS_PER_S) / pps;
    for (due = Math.min(due, MAX_BURST, count - published); due > 0; due--) {
      for (const to of remotes) send(to);
      published += 1;
    }
    if (published >= count) loop.stop();
  });
  const totals = () => ({ pps: published });
  const meter = new Meter(loop.now, totals());
  loop.every(EVERY_MS, () => {
    const rates = meter.rates(loop.now, totals());
    if (json) print(JSON.stringify({ pps: rates.pps, published, leftOut, refused }));
    else
      print(
        `${packetRate(rates.pps).padStart(10)} on each side   ${grouped(published)} published, ${grouped(leftOut)} left out, ${refused} refused`,
      );
  });
};
