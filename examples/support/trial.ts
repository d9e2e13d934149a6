/**
 * What can only be known by trying: attaching in each mode for a moment, with an empty claim, which touches no traffic.
 */
import { type AttachOptions, type probe, SystemError, type XdpDevice } from "millrace";

type Finding = ReturnType<typeof probe>["machine"][number];
type Attach = (options: AttachOptions) => XdpDevice;

/** The trial of the defaults. */
const ATTACH = "attach";

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

/** What was refused, and what to do about it apart from that; what a library said besides only where that is asked for. */
const refused = (name: string, error: unknown, withLog = false): Finding => {
  if (!(error instanceof SystemError))
    return { name, answer: "no", detail: error instanceof Error ? error.message : String(error) };
  const { code, log, operation, remedy } = error;
  const said = withLog && log !== "" ? `\n${log}` : "";
  return { name, answer: "no", detail: `cannot ${operation}: ${code}${said}`, remedy };
};

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
    // Only the first attempt tells all: the log of a program that does not load is the same for each.
    return [refused(name, error, name === ATTACH)];
  }
};

/** What `attach` refused on its way to a mode that holds. */
const refusals = (device: XdpDevice): Finding[] =>
  device.mode.refused.map(({ tried, error }) => refused(`  before it: ${tried}`, error));

/** Queues whose traffic would go past us although all were asked for. */
const unserved = ({ name, mode }: XdpDevice): Finding[] =>
  mode.unserved.length === 0
    ? []
    : [
        {
          name: "  every queue served",
          answer: "no",
          detail: `with a program there the driver also receives on queue ${mode.unserved.join(", ")}, which no socket can serve`,
          remedy: `ethtool -L ${name} combined N, with N the most that ethtool -l ${name} shows, leaves the driver none to open`,
        },
      ];

/** The finding "attach" is that of the defaults; the others say which modes there are. */
export const tryModes = (attach: Attach): Finding[] => [
  ...tryMode(ATTACH, attach, {}, (device) => [...refusals(device), ...unserved(device)]),
  ...MODES.flatMap(({ name, options }) => tryMode(name, attach, options)),
];
