/** A stream of datagrams from a host beside the kernel to a kernel's program, which counts them: what changes on the way shows in it. */
import type { BesideBed } from "./beside-bed.ts";
import { until } from "./lab.ts";

const LIMIT_MS = 20_000;

/** A program at a that counts what comes to port 7000, in both families; `count` asks it. */
export const counter = async (bed: BesideBed): Promise<{ count(): number }> => {
  const script = [
    "import socket",
    "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)",
    "s.bind(('::', 7000))",
    "while True:",
    "  s.recv(70000)",
    "  print('.', end='', flush=True)",
  ];
  const program = bed.lab.spawn("a", ["python3", "-u", "-c", script.join("\n")]);
  let count = 0;
  void (async () => {
    for await (const part of program.stdout) count += part.length;
  })();
  await until("the counter", () => bed.run("a", "ss -Hnlu").includes(":7000 "), LIMIT_MS);
  return { count: () => count };
};

/** A socket that sends to the counter every few ms. */
export const sender = (bed: BesideBed, address: string) => {
  const socket = bed.host.udp({ port: 0 }, () => {});
  const to = socket.to(address, 7000);
  const ticks = bed.loop.every(20, () => void socket.send(to, new Uint8Array(10)));
  return { socket, to, stop: () => ticks.cancel() };
};

/** What the kernel at b thinks of a neighbour: "10.77.0.1 lladdr ... REACHABLE". */
export const neighbourAtB = (bed: BesideBed, address: string): string =>
  bed.run("b", ["ip", "neigh", "show", address, "dev", "vb"]).trim();
