/** Programs of `millrace/bun` beside the kernel: they live as long as those of Bun's own sockets do, and no longer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { type Peer, type PeerSocket, peerProgram } from "../support/udp-peer.ts";

const PROGRAM = join(import.meta.dir, "..", "support", "udp-program.ts");
const LIMIT_MS = 20_000;
const PORT = 9000;

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a program of millrace/bun", () => {
  let lab: Lab;
  let peer: Peer;

  beforeAll(() => {
    lab = Lab.create();
    peer = peerProgram(lab, "a");
  }, LIMIT_MS);

  afterAll(() => {
    peer.close();
    lab.close();
  });

  /** Starts the program; it is ready to echo when this returns. */
  const start = async (life: string) => {
    const program = lab.spawn("b", [process.execPath, PROGRAM, lab.b.name, life], { stdin: "pipe" });
    const reader = program.stdout.getReader();
    const { value } = await reader.read();
    return { program, said: new TextDecoder().decode(value) };
  };

  /** Says `text` until it comes back: the program may still be learning the way. */
  const echo = async (socket: PeerSocket, text: string): Promise<void> => {
    await until(`"${text}" to come back`, () => {
      socket.send(text, PORT, lab.b.ipv4);
      return socket.received.some((one) => one.text === text);
    });
  };

  test(
    "echoes on the interface's own address, with the kernel beside it, and ends when its socket is closed",
    async () => {
      const { program, said } = await start("held");
      expect(said).toBe("ready\n");
      const socket = await peer.open({ hostname: lab.a.ipv4 });
      await echo(socket, "hello");
      expect(socket.received[0]).toMatchObject({ address: lab.b.ipv4, port: PORT });
      expect(lab.exec("a", ["ping", "-c1", "-W2", lab.b.ipv4]).code).toBe(0);
      expect(program.exitCode).toBeNull();
      socket.send("end", PORT, lab.b.ipv4);
      expect(await program.exited).toBe(0);
      socket.close();
    },
    LIMIT_MS,
  );

  test(
    "with a socket that is unref'd it echoes while something else keeps it alive, and then ends",
    async () => {
      const { program } = await start("loose");
      const socket = await peer.open({ hostname: lab.a.ipv4 });
      await echo(socket, "one");
      await echo(socket, "two");
      expect(program.exitCode).toBeNull();
      (program.stdin as Bun.FileSink).end();
      expect(await program.exited).toBe(0);
      socket.close();
    },
    LIMIT_MS,
  );

  test(
    "ends with what a handler threw, where nobody handles that",
    async () => {
      const { program } = await start("held");
      const socket = await peer.open({ hostname: lab.a.ipv4 });
      await echo(socket, "throw");
      expect(await program.exited).toBe(1);
      expect(await new Response(program.stderr).text()).toContain("error: thrown at a datagram");
      socket.close();
    },
    LIMIT_MS,
  );

  test("without a host says what to do", async () => {
    const { program } = await start("unnamed");
    expect(await program.exited).toBe(1);
    expect(await new Response(program.stderr).text()).toContain('no host: call use("eth0")');
  });
});
