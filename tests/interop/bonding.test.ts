/**
 * A host with two interfaces on a segment of two switches, and a kernel that bonds two of its own there (active-backup): each end
 * changes over to its other interface in its own way, and the conversation goes on. Where the kernel here has no bonding, the
 * virtual machine's has.
 */
import { expect, test } from "bun:test";
import { TwoPathLab } from "../../examples/two-path-lab.ts";
import { attach, Host, Loop, type XdpDevice } from "../../index.ts";
import { Lab, until } from "../support/lab.ts";
import { need } from "../support/peer-tools.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { settleAccounts } from "../support/stream.ts";

const LIMIT_MS = 240_000;
const PATIENCE_MS = 60_000;
/** A line that may have been lost in a change is said again. */
const AGAIN_MS = 500;
const PORT = 7008;
const BOND = "bond0";
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];

const addBond = ["ip", "link", "add", BOND, "type", "bond", "mode", "active-backup", "miimon", "20"];

/** True (skip) where this kernel has no such devices (CONFIG_BONDING). */
const noBonding = (): boolean => {
  using lab = Lab.create();
  const { code, stderr } = lab.exec("a", addBond, { check: false });
  return skipUnless(code === 0, `no bonding on this kernel: ${stderr.trim()}`, { couldRun: false });
};

/** Bonds the client's interfaces, which then have the addresses together. */
const bond = (lab: TwoPathLab): void => {
  const slaves = lab.paths.map(({ client }) => client.name);
  const lines = [
    addBond.join(" "),
    // One that is up can't be bonded.
    ...slaves.map((name) => `ip link set dev ${name} down; ip link set dev ${name} master ${BOND}`),
    `ip link set dev ${BOND} up`,
    `ip addr add ${lab.caller[4]}/24 dev ${BOND}`,
    `ip addr add ${lab.caller[6]}/64 dev ${BOND} nodad`,
  ];
  lab.lab.exec("a", ["sh", "-ec", lines.join("\n")]);
};

interface ShownBond {
  readonly linkinfo: { readonly info_data: { readonly active_slave?: string } };
}

/** The interface that the bond uses; undefined while it has none. */
const inUse = (lab: TwoPathLab): string | undefined => {
  const text = lab.lab.exec("a", ["ip", "-j", "-d", "link", "show", "dev", BOND]).stdout;
  return (JSON.parse(text) as readonly ShownBond[])[0]!.linkinfo.info_data.active_slave;
};

/** A program of the kernel's side that says lines, and hears their echoes. */
class Speaker {
  readonly #program: ReturnType<Lab["spawn"]>;
  #heard = "";
  #line = 0;

  constructor(lab: TwoPathLab, family: Family) {
    const service = lab.service[family];
    const to = family === 4 ? `UDP4:${service}:${PORT}` : `UDP6:[${service}]:${PORT}`;
    this.#program = lab.lab.spawn("a", ["socat", "-", to], { stdin: "pipe" });
    void this.#listen();
  }

  /** Says a line, again where it is lost, until its echo comes. */
  async say(): Promise<void> {
    this.#line += 1;
    const text = `line ${this.#line}\n`;
    const input = this.#program.stdin as unknown as { write(text: string): void; flush(): void };
    let saidMs = -Infinity;
    await until(
      `the echo of ${text}`,
      () => {
        if (performance.now() > saidMs + AGAIN_MS) {
          input.write(text);
          input.flush();
          saidMs = performance.now();
        }
        return this.#heard.includes(text);
      },
      PATIENCE_MS,
    );
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of this.#program.stdout) this.#heard += decoder.decode(part, { stream: true });
  }
}

/** Our host on both interfaces of its end, with the service's addresses and an echo behind them. */
const makeHost = (lab: TwoPathLab, loop: Loop): { host: Host; devices: readonly XdpDevice[] } => {
  const host = new Host({ loop });
  const devices = lab.paths.map(({ host: end }) => {
    const device = attach(end.name, { namespace: lab.namespace("host") });
    host.join(device, { addresses: [`${end.ipv4}/24`, `${end.ipv6}/64`], dad: false });
    return device;
  });
  for (const family of FAMILIES) host.addService(lab.service[family], { dad: false });
  host.udp(PORT, (datagram) => void datagram.reply());
  return { host, devices };
};

/** The number of the path whose interface speaks for the service's address. */
const speaking = (lab: TwoPathLab, host: Host, family: Family): number => {
  const service = host.services.find(({ address }) => address.family === family)!;
  const name = service.carriers().find(({ announces }) => announces)?.name;
  return lab.paths.findIndex(({ host: end }) => end.name === name);
};

/** Whether the bond's entries for the service have this Ethernet address. */
const entriesHave = (lab: TwoPathLab, mac: string): boolean =>
  FAMILIES.every((family) =>
    lab.lab.exec("a", ["ip", "neigh", "show", "to", lab.service[family], "dev", BOND]).stdout.includes(mac),
  );

const skip = skipWithoutLab(TwoPathLab.unavailable()) || need("socat") || noBonding();

test.skipIf(skip)(
  "the bond changes over, the host changes over, and both at once",
  async () => {
    using lab = TwoPathLab.create({ shape: "segment", client: "program", host: "program" });
    bond(lab);
    const errors: unknown[] = [];
    const loop = new Loop({ onError: (error) => void errors.push(error) });
    const { host, devices } = makeHost(lab, loop);
    const talks = FAMILIES.map((family) => new Speaker(lab, family));
    const go = async (): Promise<void> => {
      for (const talk of talks) await talk.say();
    };
    const bondOn = (path: number): Promise<boolean> =>
      until(`the bond on path ${path}`, () => inUse(lab) === lab.paths[path]!.client.name, PATIENCE_MS);
    const hostOn = (path: number): Promise<boolean> =>
      until(
        `the service on path ${path}`,
        () => FAMILIES.every((family) => speaking(lab, host, family) === path),
        PATIENCE_MS,
      );
    // Nobody speaks meanwhile: the bond's entries for the service move with the host's announcement, or not at all.
    const known = (path: number): Promise<boolean> =>
      until(
        `the bond to send to path ${path}`,
        () => entriesHave(lab, lab.paths[path]!.host.mac),
        PATIENCE_MS,
      );
    try {
      void loop.run();
      // To have both begin on the first path.
      for (const path of [1, 0] as const) await lab.carrier(path, "both", path === 0);
      await Promise.all([bondOn(0), hostOn(0)]);
      await lab.carrier(1, "both", true);
      await go();
      await lab.carrier(0, "client", false);
      await bondOn(1);
      await go();
      await lab.carrier(0, "host", false);
      await hostOn(1);
      await known(1);
      await go();
      await lab.carrier(0, "both", true);
      await go();
      await lab.carrier(1, "both", false);
      await Promise.all([bondOn(0), hostOn(0)]);
      await known(0);
      await go();
      expect(errors).toEqual([]);
    } finally {
      host.close();
      loop.stop();
      settleAccounts(...devices);
      for (const device of devices) device.close();
      loop.close();
    }
  },
  LIMIT_MS,
);
