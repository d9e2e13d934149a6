/** Service addresses on an interface beside a kernel, which does not have them. */
import { expect, test } from "bun:test";
import type { Reservation, RouteSource, SystemChange } from "../../stack/device/routesource.ts";
import type { PortClaim } from "../../stack/ip/options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { pattern, STATION_MAC, udpFrame } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";

const SERVICE = "10.9.9.9";

/** A kernel that a test plays. */
class Kernel implements RouteSource {
  readonly fds: readonly number[] = [];
  readonly changes: SystemChange[] = [];
  next(): SystemChange | undefined {
    return this.changes.shift();
  }
  resolve(): void {}
  joinGroup(): void {}
  leaveGroup(): void {}
  close(): void {}

  address(text: string, prefixLength: number, present = true, tentative = false): void {
    this.changes.push({
      kind: "address",
      present,
      interface: 5,
      address: IpAddress.parse(text).toBytes(),
      prefixLength,
      tentative,
      deprecated: false,
      temporary: false,
    });
  }

  neighbour(text: string): void {
    this.changes.push({
      kind: "neighbour",
      present: true,
      interface: 5,
      address: IpAddress.parse(text).toBytes(),
      mac: STATION_MAC.toBytes(),
      state: "reachable",
      router: false,
    });
  }

  route(text: string, prefixLength: number): void {
    this.changes.push({
      kind: "route",
      present: true,
      destination: IpAddress.parse(text).toBytes(),
      prefixLength,
      type: "unicast",
      metric: 0,
      source: undefined,
      mtu: undefined,
      hops: [{ gateway: undefined, interface: 5, weight: 1 }],
    });
  }
}

test("beside the kernel: routed frames are taken and answered, ports claimed, and nobody is told of it", () => {
  using lab = new HostLab();
  const kernel = new Kernel();
  kernel.address("10.0.0.2", 24);
  kernel.route("10.0.0.0", 24);
  kernel.neighbour("10.0.0.1");
  const host = lab.host({ services: [SERVICE] });
  const reserved: string[] = [];
  let claimed: readonly PortClaim[] = [];
  const keeper = {
    errorFds: [],
    reserve: (address: Uint8Array | undefined, port: number): Reservation => {
      reserved.push(address === undefined ? "any" : IpAddress.fromBytes(address).toString());
      return { port, release: () => {} };
    },
    nextError: () => undefined,
  };
  const [device, far] = lab.link();
  const heard: string[] = [];
  host.udp({ port: 53, address: SERVICE }, (datagram) => {
    heard.push(datagram.localAddress.toString());
    datagram.reply();
  });
  const said: Uint8Array[] = [];
  lab.loop.receive(far, (frame) => void said.push(frame.copy()));
  const beside = {
    source: kernel,
    interface: 5,
    ports: keeper,
    claim: (ports: readonly PortClaim[]) => void (claimed = ports),
  };
  const on = host.join(device, { beside });
  // The kernel knows nothing of the address, so that no program of its can have a port there.
  expect(reserved).toEqual([]);
  expect(claimed.map(({ address, port }) => `${address} ${port}`)).toEqual([`${SERVICE} 53`]);
  const frame = udpFrame(pattern(9), { to: IpAddress.parse(SERVICE) });
  const put = (): void => {
    const { umem, queues } = far;
    const chunk = umem.take();
    umem.bytes.set(frame, chunk);
    expect(queues[0]!.reserve(1)).toBe(true);
    queues[0]!.send(chunk, frame.length, false);
    queues[0]!.flush();
    lab.run(0);
  };
  put();
  expect(heard).toEqual([SERVICE]);
  expect(said).toHaveLength(1);
  expect(host.services[0]!.carriers()).toEqual([
    { interface: on.index, name: on.name, state: "preferred", announces: false },
  ]);
  // What the kernel does with the address is its own affair.
  kernel.address(SERVICE, 32, true, true);
  lab.run(10);
  put();
  kernel.address(SERVICE, 32, false);
  lab.run(10);
  put();
  expect(heard).toHaveLength(3);
  // Where the kernel had it first it is the kernel's, until that gives it up.
  const another = IpAddress.parse("10.9.9.10");
  kernel.address("10.9.9.10", 32);
  lab.run(10);
  host.addService(another);
  expect(on.addresses.find(another)?.origin).toBe("kernel");
  kernel.address("10.9.9.10", 32, false);
  lab.run(10);
  expect(on.addresses.find(another)?.origin).toBe("service");
  host.removeService(SERVICE);
  put();
  expect(heard).toHaveLength(3);
});
