/**
 * A balancer between programs that know nothing of it: kernel clients, a kernel bridge, kernel backends, and tshark, which looks
 * at every frame that the balancer sends.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BackendPlace, BalancerGround, OWN, VIPS } from "../../examples/balancer/ground.ts";
import { example } from "../../examples/support/place.ts";
import { Example } from "./example.ts";
import { Lab, until } from "./lab.ts";
import * as tools from "./peer-tools.ts";
import { dissect, tell, WireCapture } from "./wire-capture.ts";

export const WAIT_MS = 30_000;
export const PORT = 9000;
const MEGABYTE = 2 ** 20;
/** The address of the kernel beside the balancer, where it has one. */
export const BESIDE = "10.77.0.3";
/** What the balancer forwards of others' has notes of tshark's about others: retransmissions, keep-alives, ports used again. */
const OTHERS =
  /retransmission|Duplicate ACK|previous segment|Out-Of-Order|reused|Keep-Alive|ACKed|Window|RST|No response|D-SACK/i;
/** The protocols of an ICMP error with the packet that it quotes, in a tunnel too. */
const QUOTED = /:icmp(v6)?:ip/;

const DECAPSULATOR = join(import.meta.dir, "decapsulate-child.ts");

interface BalancerRecord {
  readonly forwarded: number;
  readonly tunnelled: number;
  readonly fragments: number;
  readonly cut: number;
  readonly icmpErrors: number;
  readonly tooBig: number;
  readonly moved: number;
  readonly backends: readonly {
    readonly address: string;
    readonly state: string;
    readonly flows: number;
    readonly packets: number;
  }[];
}

interface ClientRecord {
  readonly sent: number;
  readonly answered: number;
  readonly moved: number;
  readonly byName: Readonly<Record<string, number>>;
}

/** The lines of JSON of a program in a lab, as they come. */
const follow = <R>(process: ReturnType<Lab["spawn"]>): { readonly last: () => R | undefined } => {
  let last: R | undefined;
  void (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const part of process.stdout) {
      const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("{")) last = JSON.parse(line) as R;
    }
  })();
  return { last: () => last };
};

type Server = ReturnType<Lab["spawn"]>;
type Preparation = (ground: BalancerGround) => readonly string[] | void | Promise<readonly string[] | void>;

/** A ground with running backends, a balancer in front of them, and a capture of all that it sends. */
export class BalancerBed implements AsyncDisposable {
  readonly ground: BalancerGround;
  readonly folder: string;
  readonly #servers: ReadonlyMap<BackendPlace, Server>;
  readonly #balancer: Example;
  readonly #capture: WireCapture;

  private constructor(
    ground: BalancerGround,
    folder: string,
    servers: ReadonlyMap<BackendPlace, Server>,
    capture: WireCapture,
    backends: readonly string[],
    more: readonly string[],
  ) {
    this.ground = ground;
    this.folder = folder;
    this.#servers = servers;
    this.#capture = capture;
    this.write(backends);
    const args = [
      ground.interface,
      ...OWN.flatMap((address) => ["--address", address]),
      ...VIPS.flatMap((vip) => ["--vip", vip]),
      ...["--service", `udp/${PORT}`, "--service", `tcp/${PORT}`, "--backends", this.file],
      ...["--interval", "400", "--json", ...more],
    ];
    this.#balancer = new Example("balancer", args, { prefix: ground.lab.enter("b") });
  }

  /** `prepare` runs before the balancer, and may say which addresses of the backends that is to be told. */
  static async start(more: readonly string[] = [], prepare?: Preparation): Promise<BalancerBed> {
    const ground = BalancerGround.create();
    const folder = mkdtempSync(join(tmpdir(), "millrace-balancer-"));
    try {
      const servers = new Map(
        await Promise.all(ground.backends.map(async (place) => [place, await serve(place)] as const)),
      );
      const backends = (await prepare?.(ground)) ?? ground.backends.map(({ ipv4 }) => ipv4);
      const capture = await WireCapture.start(ground.lab, "m", {
        interface: ground.port,
        // The kernel beside it, where it speaks at all, has another address.
        filter: `ether src ${ground.lab.b.mac} and not src host ${BESIDE}`,
      });
      const bed = new BalancerBed(ground, folder, servers, capture, backends, more);
      await bed.until("all backends to be up", (record) =>
        record.backends.every(({ state }) => state === "up"),
      );
      return bed;
    } catch (error) {
      ground.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get file(): string {
    return join(this.folder, "backends");
  }

  get lab(): Lab {
    return this.ground.lab;
  }

  get clients(): tools.Place {
    return { lab: this.lab, side: "a" };
  }

  /** Ends what serves at a backend; its station goes on. */
  async endServer(place: BackendPlace): Promise<void> {
    const server = this.#servers.get(place)!;
    server.kill("SIGKILL");
    await server.exited;
  }

  /** Writes the file of backends. */
  write(lines: readonly string[]): void {
    writeFileSync(this.file, `${lines.join("\n")}\n`);
  }

  /** The balancer's latest line. */
  record(): BalancerRecord | undefined {
    return this.#balancer.records.at(-1) as unknown as BalancerRecord | undefined;
  }

  /** Waits for a line of the balancer's that `accept` takes. */
  until(what: string, accept: (record: BalancerRecord) => boolean): Promise<BalancerRecord> {
    return until(
      what,
      () => {
        const record = this.record();
        if (record === undefined) {
          if (this.#balancer.child.exitCode !== null) throw new Error("the balancer has ended");
          return undefined;
        }
        return accept(record) ? record : undefined;
      },
      WAIT_MS,
    );
  }

  /** A new line of the balancer's. */
  async next(): Promise<BalancerRecord> {
    const { length } = this.#balancer.records;
    await until("the balancer's next line", () => this.#balancer.records.length > length, WAIT_MS);
    return this.record()!;
  }

  /** Clients with so many flows to one of the service's addresses, once they are answered. */
  async ask(vip: string, flows: number, pps = 1000) {
    const words = example("balancer/client", vip, String(PORT), String(flows), String(pps));
    const process = this.lab.spawn("a", words, { stderr: "inherit" });
    const { last } = follow<ClientRecord>(process);
    const answeredBy = (record: ClientRecord): number =>
      Object.values(record.byName).reduce((sum, count) => sum + count, 0);
    await until(
      "an answer in every flow",
      () => {
        const record = last();
        return record !== undefined && answeredBy(record) === flows;
      },
      WAIT_MS,
    );
    return {
      last: () => last()!,
      /** Waits until so many more answers came. */
      more: async (count: number): Promise<ClientRecord> => {
        const before = last()!.answered;
        return until(
          "more answers",
          () => (last()!.answered >= before + count ? last()! : undefined),
          WAIT_MS,
        );
      },
      end: async (): Promise<void> => {
        process.kill("SIGTERM");
        await process.exited;
      },
    };
  }

  /** Ends the balancer; nobody may have complained, and tshark may have nothing against what it sent. Returns the capture. */
  async finish(): Promise<string> {
    const errors = this.#balancer.stderr;
    expect(await this.#balancer.end()).toBe(0);
    expect(await errors).toBe("");
    const file = await this.#capture.stop();
    const dissection = await dissect(file, { dataPorts: [PORT], except: OTHERS });
    // What an error quotes is as its sender left it.
    const findings = dissection.findings.filter(({ info }) => !QUOTED.test(info));
    expect(tell({ ...dissection, findings })).toBe("");
    expect(dissection.frames).toBeGreaterThan(100);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#balancer[Symbol.dispose]();
    this.#capture.close();
    this.ground.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const said = async (process: ReturnType<Lab["spawn"]>, word: string): Promise<void> => {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of process.stdout) {
    text += decoder.decode(part, { stream: true });
    if (text.includes(word)) return;
  }
  throw new Error(`it ended before it said ${word}: ${text}${await process.stderr.text()}`);
};

/** Starts a backend's servers on its own addresses and those of the service. */
const serve = async ({ lab, name, ipv4, ipv6 }: BackendPlace): Promise<Server> => {
  const server = lab.spawn("b", example("balancer/backend", name, String(PORT), ipv4, ipv6, ...VIPS));
  await said(server, "ready");
  return server;
};

export const url = (vip: string, path = "/"): string =>
  `http://${vip.includes(":") ? `[${vip}]` : vip}:${PORT}${path}`;

export const curl = async (bed: BalancerBed, ...words: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await tools.runTool(bed.clients, ["curl", "-sS", "-m", "20", ...words]);
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr}`);
  return stdout;
};

/** Asks new connections until every backend has answered one, and posts and fetches much over some. */
export const serveTcp = async (bed: BalancerBed, vip: string): Promise<void> => {
  const names = new Set<string>();
  await until(
    `all backends to answer at ${vip}`,
    async () => {
      names.add((await curl(bed, url(vip))).trim());
      return names.size === bed.ground.backends.length;
    },
    WAIT_MS,
  );
  const body = join(bed.folder, "body");
  writeFileSync(body, new Uint8Array(MEGABYTE));
  const posted = await curl(bed, "--data-binary", `@${body}`, url(vip));
  expect(posted).toMatch(new RegExp(`^backend\\d ${MEGABYTE}\n$`));
  const got = await curl(bed, "-o", "/dev/null", "-w", "%{size_download}", url(vip, `/bytes/${MEGABYTE}`));
  expect(got).toBe(String(MEGABYTE));
};

/** A datagram that crosses in fragments; its answer is the backend's name and the same again. */
export const serveFragments = async (bed: BalancerBed, vip: string): Promise<void> => {
  const text = "0123456789".repeat(400);
  const address = vip.includes(":") ? `UDP6:[${vip}]:${PORT}` : `UDP4:${vip}:${PORT}`;
  const file = join(bed.folder, "long");
  writeFileSync(file, text);
  const words = ["sh", "-c", `socat -b 65000 -t 3 - ${address} <${file}`];
  await until(
    "a long datagram to be answered",
    async () => {
      const { stdout } = await tools.runTool(bed.clients, words);
      return stdout.endsWith(text) && stdout.startsWith("backend");
    },
    WAIT_MS,
  );
};

/** ICMP messages of one kind that a backend's kernel has heard. */
export const unreachablesHeard = ({ lab }: BackendPlace): number => {
  const text = lab.exec("b", ["cat", "/proc/net/snmp"]).stdout;
  const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("Icmp:"));
  return Number(values.split(" ")[names.split(" ").indexOf("InDestUnreachs")]);
};

/** Takes packets out of tunnels at a backend, and gives them to its kernel. */
export const decapsulate = ({ lab, ipv4, ipv6 }: BackendPlace): Promise<void> =>
  said(lab.spawn("b", [process.execPath, "run", DECAPSULATOR, lab.b.name, ipv4, ipv6]), "ready");

/** What tshark finds of frames in a capture: fields, a line each. */
export const fieldsOf = async (
  file: string,
  filter: string,
  ...fields: readonly string[]
): Promise<string[]> => {
  const words = [
    "tshark",
    "-n",
    "-r",
    file,
    "-Y",
    filter,
    "-T",
    "fields",
    ...fields.flatMap((each) => ["-e", each]),
  ];
  return (await Bun.$`${words}`.quiet().text()).split("\n").filter(Boolean);
};
