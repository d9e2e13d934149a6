/**
 * What a driver says of its interface: its name, its channels, its checksum offloads, through the ethtool ioctl.
 *
 * A driver that does not know a question answers EOPNOTSUPP, and that is an answer (undefined), not an error. Everything
 * happens in the network namespace of the calling thread. Source: include/uapi/linux/ethtool.h, sockios.h, if.h.
 */
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { close, ioctl, socket, word } from "../sys/libc.ts";
import { addressOf, struct, type Struct } from "../sys/memory.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCETHTOOL = 0x8946;

/** Commands of include/uapi/linux/ethtool.h. */
export const ETHTOOL = { GDRVINFO: 0x03, GRXCSUM: 0x14, GTXCSUM: 0x16, GCHANNELS: 0x3c } as const;

/** struct ifreq: a name of IFNAMSIZ bytes, then a union whose first member here is a pointer; 40 bytes on 64 bits. */
const IFNAMSIZ = 16;
const REQUEST_NAME = 0;
const REQUEST_DATA = REQUEST_NAME + IFNAMSIZ;
const REQUEST_BYTES = 40;
const HIGH_WORD = 4;

/** Every ethtool structure starts with its command, a u32. */
const COMMAND = 0;
const AFTER_COMMAND = COMMAND + 4;

/** struct ethtool_drvinfo. */
const DRIVER = AFTER_COMMAND;
const TEXT_BYTES = 32;
const VERSION = DRIVER + TEXT_BYTES;
const FIRMWARE = VERSION + TEXT_BYTES;
const BUS = FIRMWARE + TEXT_BYTES;
const EROM_VERSION = BUS + TEXT_BYTES;
const RESERVED_BYTES = 12;
const COUNTS = EROM_VERSION + TEXT_BYTES + RESERVED_BYTES;
const DRIVER_INFO_BYTES = COUNTS + 5 * Uint32Array.BYTES_PER_ELEMENT;

/** struct ethtool_channels. */
const MAX_RX = AFTER_COMMAND;
const MAX_TX = MAX_RX + 4;
const MAX_OTHER = MAX_TX + 4;
const MAX_COMBINED = MAX_OTHER + 4;
const RX = MAX_COMBINED + 4;
const TX = RX + 4;
const OTHER = TX + 4;
const COMBINED = OTHER + 4;
const CHANNELS_BYTES = COMBINED + 4;

/** struct ethtool_value. */
const VALUE = AFTER_COMMAND;
const VALUE_BYTES = VALUE + 4;

export interface DriverInfo {
  /** "veth", "ixgbe", ... */
  readonly driver: string;
  readonly version: string;
  readonly firmware: string;
  /** Where the device hangs ("0000:01:00.0"); empty for those made of software. */
  readonly bus: string;
}

/** Channels in use and possible. A combined channel has one receive and one transmit queue. */
export interface Channels {
  readonly rx: number;
  readonly tx: number;
  readonly combined: number;
  readonly maxRx: number;
  readonly maxTx: number;
  readonly maxCombined: number;
}

/** All of it, each part undefined where the driver does not say. */
export interface EthtoolFacts {
  readonly driver: DriverInfo | undefined;
  readonly channels: Channels | undefined;
  readonly rxChecksum: boolean | undefined;
  readonly txChecksum: boolean | undefined;
}

/** Runs one command on an interface; the answer is written into `data`. False where the driver does not know it. */
const ask = (fd: number, name: string, command: number, data: Struct): boolean => {
  const request = struct(REQUEST_BYTES);
  request.bytes.set(new TextEncoder().encode(name), REQUEST_NAME);
  const address = addressOf(data.bytes);
  request.view.setUint32(REQUEST_DATA, address >>> 0, true);
  request.view.setUint32(REQUEST_DATA + HIGH_WORD, Math.floor(address / 2 ** 32), true);
  data.view.setUint32(COMMAND, command, true);
  if (ioctl(fd, word(SIOCETHTOOL), request.bytes) >= 0) return true;
  const code = errno();
  if (code === ERRNO.EOPNOTSUPP) return false;
  throw new SystemError({
    operation: `ask the driver of "${name}" (ethtool command 0x${command.toString(16)})`,
    operands: { name, command },
    errno: code,
    remedy: REMEDIES[code] ?? "`ethtool` asks the same; see what it says",
  });
};

const REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.ENODEV]: "no such interface in this network namespace; `ip link` lists those that are",
  [ERRNO.EPERM]: "needs CAP_NET_ADMIN in the interface's network namespace",
};

const checkName = (name: string): void => {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes === 0 || bytes >= IFNAMSIZ || /[\s/\0]/.test(name)) {
    throw new RangeError(`not an interface name: ${JSON.stringify(name)}`);
  }
};

/** Runs `use` with a descriptor that the ioctl accepts; any socket of the namespace does. */
const withSocket = <T>(use: (fd: number) => T): T => {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    const remedy = "a UDP socket is needed to ask drivers; see `ulimit -n`";
    throw new SystemError({ operation: "open a socket for ethtool", errno: errno(), remedy });
  }
  try {
    return use(fd);
  } finally {
    close(fd);
  }
};

const text = (data: Struct, at: number): string => {
  const field = data.bytes.subarray(at, at + TEXT_BYTES);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
};

const readDriver = (fd: number, name: string): DriverInfo | undefined => {
  const data = struct(DRIVER_INFO_BYTES);
  if (!ask(fd, name, ETHTOOL.GDRVINFO, data)) return undefined;
  return {
    driver: text(data, DRIVER),
    version: text(data, VERSION),
    firmware: text(data, FIRMWARE),
    bus: text(data, BUS),
  };
};

const readChannels = (fd: number, name: string): Channels | undefined => {
  const data = struct(CHANNELS_BYTES);
  if (!ask(fd, name, ETHTOOL.GCHANNELS, data)) return undefined;
  const count = (at: number): number => data.view.getUint32(at, true);
  return {
    rx: count(RX),
    tx: count(TX),
    combined: count(COMBINED),
    maxRx: count(MAX_RX),
    maxTx: count(MAX_TX),
    maxCombined: count(MAX_COMBINED),
  };
};

const readSwitch = (fd: number, name: string, command: number): boolean | undefined => {
  const data = struct(VALUE_BYTES);
  return ask(fd, name, command, data) ? data.view.getUint32(VALUE, true) !== 0 : undefined;
};

/** Everything that ethtool tells of an interface. Throws SystemError (ENODEV) where there is none of that name. */
export const ethtoolFacts = (name: string): EthtoolFacts => {
  checkName(name);
  return withSocket((fd) => ({
    driver: readDriver(fd, name),
    channels: readChannels(fd, name),
    rxChecksum: readSwitch(fd, name, ETHTOOL.GRXCSUM),
    txChecksum: readSwitch(fd, name, ETHTOOL.GTXCSUM),
  }));
};

/** Receive queues in use: what AF_XDP can bind to. 1 where the driver does not say. */
export const rxQueueCount = (of: Channels | undefined): number =>
  of === undefined ? 1 : of.rx + of.combined;

/** Transmit queues in use. 1 where the driver does not say. */
export const txQueueCount = (of: Channels | undefined): number =>
  of === undefined ? 1 : of.tx + of.combined;
