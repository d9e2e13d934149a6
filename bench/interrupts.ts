/**
 * Which processor a card's interrupts go to. The driver's own work (NAPI) follows them, and it is most of what a packet costs,
 * so a measurement says where it is done.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { End, Lab } from "../examples/lab.ts";

/** Numbers of the interrupts of the device at a bus address, from the text of /proc/interrupts: "PCI-MSIX-0000:00:05.0". */
export const interruptsOf = (text: string, busAddress: string): readonly number[] =>
  text.split("\n").flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const number = /^(\d+):$/.exec(words[0] ?? "")?.[1];
    return number !== undefined && words.some((word) => word.endsWith(`-${busAddress}`))
      ? [Number(number)]
      : [];
  });

/** Sends all interrupts of a card of the lab to one core. Throws where it has none that can be found, or one stays. */
export const pinInterrupts = (lab: Lab, end: End, core: number): void => {
  // Asked in its namespace: /sys shows the interfaces of another one.
  const driver = lab.exec(end.side, ["ethtool", "-i", end.name]).stdout;
  const busAddress = /^bus-info: (\S+)$/m.exec(driver)?.[1];
  const numbers =
    busAddress === undefined ? [] : interruptsOf(readFileSync("/proc/interrupts", "utf8"), busAddress);
  if (numbers.length === 0) throw new Error(`cannot find the interrupts of "${end.name}"`);
  for (const number of numbers) writeFileSync(`/proc/irq/${number}/smp_affinity_list`, `${core}\n`);
};
