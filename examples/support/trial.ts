/**
 * What can only be known by trying: attaching in each mode for a moment, with an empty claim, which touches no traffic.
 */
import type { AttachOptions, probe, XdpDevice } from "millrace";

type Finding = ReturnType<typeof probe>["machine"][number];
type Attach = (options: AttachOptions) => XdpDevice;

/** Best first. */
const MODES: readonly { readonly name: string; readonly options: AttachOptions }[] = [
  { name: "native, zero-copy", options: { xdp: "native", bind: "zero-copy" } },
  { name: "native, copy", options: { xdp: "native", bind: "copy" } },
  { name: "generic, copy", options: { xdp: "generic", bind: "copy" } },
  { name: "multi-buffer", options: { multiBuffer: true } },
  { name: "shared (libxdp's dispatcher)", options: { shared: true } },
];

/** "native copy, need_wakeup, multi-buffer". */
export const describeMode = ({ mode }: XdpDevice): string =>
  [
    `${mode.xdp} ${mode.bind}`,
    ...(mode.needWakeup ? ["need_wakeup"] : []),
    ...(mode.multiBuffer ? ["multi-buffer"] : []),
    ...(mode.shared ? ["shared"] : []),
  ].join(", ");

/** Tries one mode; `also` adds findings from the device while it is open. */
const tryMode = (
  name: string,
  attach: Attach,
  options: AttachOptions,
  also: (device: XdpDevice) => readonly Finding[] = () => [],
): Finding[] => {
  try {
    using device = attach({ ...options, claim: [] });
    return [{ name, answer: "yes", detail: describeMode(device) }, ...also(device)];
  } catch (error) {
    return [{ name, answer: "no", detail: error instanceof Error ? error.message : String(error) }];
  }
};

/** What `attach` refused on its way to a mode that holds. */
const refusals = (device: XdpDevice): Finding[] =>
  device.mode.refused.map(({ tried, error }) => ({
    name: `  before it: ${tried}`,
    answer: "no",
    detail: error.message,
  }));

/** The finding "attach" is that of the defaults; the others say which modes there are. */
export const tryModes = (attach: Attach): Finding[] => [
  ...tryMode("attach", attach, {}, refusals),
  ...MODES.flatMap(({ name, options }) => tryMode(name, attach, options)),
];
