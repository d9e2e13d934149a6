/**
 * A served bed with BFD at our end, a daemon's at the other, and a cable that an nftables rule of the far namespace cuts without
 * anybody being told, in each direction apart.
 */
import { Bfd, type BfdChange, type BfdSession, type BfdSessionOptions } from "../../index.ts";
import { ask, type BfdPeer, type Ends, type PeerOptions } from "./bfd-peers.ts";
import { until } from "./lab.ts";
import { PATIENCE_MS, ServedBed } from "./served-bed.ts";

/** The kernel's direction: "in" is from us to the peer. */
export type Direction = "in" | "out";

export interface Told extends BfdChange {
  /** The peer's address of the session. */
  readonly peer: string;
}

/** Starts a daemon with sessions between these ends. */
export type Starter = (bed: ServedBed, ends: readonly Ends[], options: PeerOptions) => Promise<BfdPeer>;

/** The program's own clock, which the loop has too. */
const now = (): number => performance.now();

export class BfdBed {
  readonly bed: ServedBed;
  readonly bfd: Bfd;
  readonly sessions: readonly BfdSession[];
  readonly peer: BfdPeer;
  readonly told: Told[];

  private constructor(
    bed: ServedBed,
    bfd: Bfd,
    sessions: readonly BfdSession[],
    peer: BfdPeer,
    told: Told[],
  ) {
    this.bed = bed;
    this.bfd = bfd;
    this.sessions = sessions;
    this.peer = peer;
    this.told = told;
  }

  /** Ours first, then the daemon's: a session for each family, or for those named. */
  static async start(
    bed: ServedBed,
    start: Starter,
    theirs: PeerOptions,
    ours: Partial<BfdSessionOptions>,
    families: readonly (4 | 6)[] = [4, 6],
  ): Promise<BfdBed> {
    const { a, b } = bed.lab;
    const eth = bed.join({ addresses: [`${b.ipv4}/24`, `${b.ipv6}/64`], dad: false });
    bed.sh("a", [
      "nft add table netdev cut",
      ...["in ingress", "out egress"].map((each) => {
        const [chain, hook] = each.split(" ");
        return `nft 'add chain netdev cut ${chain} { type filter hook ${hook} device ${a.name} priority 0; policy accept; }'`;
      }),
    ]);
    const ends = families.map((family) =>
      family === 4 ? { local: a.ipv4, peer: b.ipv4 } : { local: a.ipv6, peer: b.ipv6 },
    );
    const told: Told[] = [];
    const bfd = new Bfd(bed.host);
    const sessions = ends.map(({ local: peer }) =>
      bfd.session({
        peer,
        interface: eth.name,
        ...ours,
        onChange: (change) => void told.push({ ...change, peer }),
      }),
    );
    return new BfdBed(bed, bfd, sessions, await start(bed, ends, theirs), told);
  }

  /** Waits until every session is up, and known to be up at the other end. */
  async up(): Promise<void> {
    await this.all("to be up", ({ state }) => state === "up");
    await this.peerSays("up");
  }

  /** Waits until all sessions of ours fit. */
  async all(what: string, test: (session: BfdSession) => boolean): Promise<void> {
    await until(`sessions ${what}`, () => this.sessions.every(test), PATIENCE_MS);
  }

  /** Waits until the daemon says this of each of its sessions. */
  async peerSays(
    state: string,
    test: (agreed: { intervalMs: number; detectionMs: number }) => boolean = () => true,
  ): Promise<void> {
    let last = "";
    const says = async (): Promise<boolean> => {
      const all = await Promise.all(this.addresses.map((address) => this.peer.status(address)));
      last = JSON.stringify(all);
      return all.every((one) => one?.state === state && test(one));
    };
    await until(`${this.peer.name} to say "${state}"`, says, PATIENCE_MS).catch((error: unknown) => {
      throw new Error(`${this.peer.name} says ${last}`, { cause: error });
    });
  }

  /** Nothing passes in a direction from now on; the time when that was so. */
  async cut(direction: Direction): Promise<number> {
    await ask(this.bed, ["nft", "add", "rule", "netdev", "cut", direction, "drop"]);
    return now();
  }

  async heal(direction: Direction): Promise<void> {
    await ask(this.bed, ["nft", "flush", "chain", "netdev", "cut", direction]);
  }

  /** Ends both ends, and judges every frame of ours. */
  async finish(): Promise<string> {
    // Theirs first: at a port that is closed already their packets would be refused, and the refusal judged.
    await this.peer.end();
    this.bfd.close();
    return this.bed.finish();
  }

  private get addresses(): string[] {
    const { b } = this.bed.lab;
    return this.sessions.map(({ peer }) => (peer.family === 4 ? b.ipv4 : b.ipv6));
  }
}
