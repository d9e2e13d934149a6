/**
 * How every bed with a host of ours ends: with a verdict on its accounts, its handlers and the frames that were captured, and
 * with nothing left of it.
 */
import type { Host, Loop, XdpDevice } from "../../index.ts";
import { type Lab, until } from "./lab.ts";
import { settleAccounts } from "./stream.ts";
import { dissect, type DissectOptions, type Finding, tell, type WireCapture } from "./wire-capture.ts";

const LIMIT_MS = 10_000;

/** What beds have in common. */
export interface Bedding {
  readonly lab: Lab;
  readonly loop: Loop;
  readonly host: Host;
  readonly devices: readonly XdpDevice[];
  readonly captures: readonly WireCapture[];
  /** What handlers threw. */
  readonly errors: readonly unknown[];
}

export interface VerdictOptions extends DissectOptions {
  /** True for a finding that is nobody's fault. */
  readonly isForgiven?: (finding: Finding) => boolean;
}

/**
 * Ends the host, and throws where accounts are not even, a handler threw, or tshark has anything against a frame. Returns how many
 * frames were dissected. The devices stay open, and their counters can be read.
 */
export const judge = async (bed: Bedding, options: VerdictOptions = {}): Promise<number> => {
  const { isForgiven = () => false, ...dissecting } = options;
  bed.host.close();
  const devices = bed.devices.filter(({ open }) => open);
  await until(
    "what was sent to be taken by the kernel",
    () => devices.every(({ umem }) => umem.accounts().tx === 0),
    LIMIT_MS,
  );
  const files = await Promise.all(bed.captures.map((capture) => capture.stop()));
  bed.loop.close();
  settleAccounts(...devices);
  if (bed.errors.length > 0) throw new Error(`handlers threw: ${bed.errors.map(String).join("; ")}`);
  let frames = 0;
  for (const file of files) {
    const dissection = await dissect(file, dissecting);
    const findings = dissection.findings.filter((finding) => !isForgiven(finding));
    if (findings.length > 0) throw new Error(`tshark says:\n${tell({ ...dissection, findings })}`);
    frames += dissection.frames;
  }
  return frames;
};

/** Takes everything down, whatever the verdict. */
export const tearDown = ({ lab, loop, host, devices, captures }: Bedding): void => {
  loop.close();
  host.close();
  for (const device of devices) device.close();
  for (const capture of captures) capture.close();
  lab.close();
};

/** Commands after which the kernel at an interface answers to nothing and says nothing: its addresses are a host's of ours. */
export const silencing = (name: string): string =>
  `ip addr flush dev ${name}; [ ! -d /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
