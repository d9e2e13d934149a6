/**
 * The network cards of the guest and the cables between them.
 *
 * Several queues need a tap: QEMU's hub and sockets have one. The taps lie in a network namespace without a name, which
 * ends with the emulator, so that nothing has to be removed; a bridge that learns nothing is the cable. A hub is several times
 * faster, because no frame leaves the emulator: it is the cable where speed is measured.
 */

export interface Card {
  /** Its name in the guest, at the emulator (`set_link NAME off`) and, as a tap, in the namespace. */
  readonly name: string;
  readonly model: "virtio-net-pci" | "igb";
  readonly mac: string;
  /** Queue pairs that the emulator offers; an igb has those of its model. */
  readonly queues: number;
}

export interface Cable {
  readonly a: Card;
  readonly b: Card;
  /** Joined by a hub of the emulator instead of taps and a bridge. */
  readonly hub?: true;
}

/**
 * Queue pairs of a virtio card: as many as the guest has processors. Where it has more to spare, virtio_net takes one a processor
 * for XDP (virtnet_xdp_set) and receives on those too, although no zero-copy socket can serve them.
 */
export const QUEUES = 2;
/** Such a card with pairs to spare, to see what we say of it. */
const WIDE_QUEUES = 4;
/** Above what a jumbo frame needs; the guest's own MTU decides. */
const CABLE_MTU = 9216;
/** Frames that a tap holds while the guest, which is slow, has no buffer for them. */
const TAP_FRAMES = 10_000;

const cable = (model: Card["model"], name: string, first: number, queues: number): Cable => {
  // QEMU's own prefix, then the name in ASCII, so that no two cards share an address.
  const spelt = [...name].map((letter) => letter.charCodeAt(0).toString(16)).join(":");
  const card = (number: number): Card => ({
    name: `${name}${number}`,
    model,
    mac: `52:54:00:${spelt}:0${number}`,
    queues,
  });
  return { a: card(first), b: card(first + 1) };
};

/** What the guest is wired with. */
export interface Wiring {
  /** Of equal cards: two of virtio-net, and two of igb where the emulator has it. */
  readonly cables: readonly Cable[];
  /** Of virtio-net with queue pairs to spare. */
  readonly wide?: Cable;
}

export const wiringFor = (emulator: { readonly igb: boolean }): Wiring => ({
  cables: [
    cable("virtio-net-pci", "vn", 0, QUEUES),
    cable("virtio-net-pci", "vn", 2, QUEUES),
    ...(emulator.igb ? [cable("igb", "ig", 0, 1), cable("igb", "ig", 2, 1)] : []),
  ],
  wide: cable("virtio-net-pci", "vw", 0, WIDE_QUEUES),
});

/** Four cables of virtio-net cards with one queue, as fast as the emulator can be: two for each of two programs. */
export const fastWiring = (): Wiring => ({
  cables: [0, 2, 4, 6].map((first) => ({ ...cable("virtio-net-pci", "vf", first, 1), hub: true })),
});

const allCables = ({ cables, wide }: Wiring): Cable[] =>
  wide === undefined ? [...cables] : [...cables, wide];

const cardsOf = (wiring: Wiring): Card[] => allCables(wiring).flatMap(({ a, b }) => [a, b]);

/** Shell text that lays the cables in the namespace that it runs in. */
export const cableScript = (wiring: Wiring): string => {
  const lines = [
    // The host's own stack must not speak on the cables.
    "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true",
  ];
  allCables(wiring).forEach(({ a, b, hub }, i) => {
    if (hub === true) return;
    const bridge = `cable${i}`;
    lines.push(`ip link add ${bridge} type bridge ageing_time 0 mcast_snooping 0`);
    for (const { name, queues } of [a, b]) {
      lines.push(
        `ip tuntap add dev ${name} mode tap vnet_hdr${queues > 1 ? " multi_queue" : ""}`,
        `ip link set dev ${name} mtu ${CABLE_MTU} txqueuelen ${TAP_FRAMES} master ${bridge} up`,
      );
    }
    lines.push(`ip link set dev ${bridge} up`);
  });
  return lines.join("\n");
};

/** What a card's cable ends in, at the emulator: a port of the hub with the cable's number, or a tap. */
const wireArgument = (wiring: Wiring, { name, queues }: Card): string => {
  const number = allCables(wiring).findIndex(({ a, b }) => a.name === name || b.name === name);
  if (allCables(wiring)[number]?.hub === true) return `hubport,id=wire-${name},hubid=${number}`;
  const tap = `tap,id=wire-${name},ifname=${name},script=no,downscript=no`;
  return queues > 1 ? `${tap},queues=${queues}` : tap;
};

/** The emulator's arguments for the cards. */
export const cardArguments = (wiring: Wiring): string[] =>
  cardsOf(wiring).flatMap((card, i) => {
    const { name, model, mac, queues } = card;
    const wire = wireArgument(wiring, card);
    if (model === "igb") {
      // Its virtual functions take the functions behind it: it needs a bus to itself.
      const port = `pcie-root-port,id=port-${name},chassis=${i},slot=${i}`;
      const device = `igb,id=${name},netdev=wire-${name},mac=${mac},romfile=,bus=port-${name}`;
      return ["-netdev", wire, "-device", port, "-device", device];
    }
    const device = [
      `virtio-net-pci,id=${name},netdev=wire-${name},mac=${mac},romfile=`,
      // One interrupt vector a queue, and those for configuration and control.
      `mq=${queues > 1 ? "on" : "off"},vectors=${2 * queues + 2}`,
      // Zero-copy needs the DMA interface of the kernel, which virtio only uses behind an IOMMU, and that the modern device.
      "disable-legacy=on,iommu_platform=on",
    ];
    return ["-netdev", wire, "-device", device.join(",")];
  });

const nameOf = ({ a, b }: Cable): string => `${a.name}-${b.name}`;

/** What the guest is told: names and addresses to give the cards, and which are joined. */
export const wiringFacts = (wiring: Wiring): Record<string, string> => ({
  MILLRACE_CARDS: cardsOf(wiring)
    .map(({ name, mac }) => `${name}=${mac}`)
    .join(","),
  MILLRACE_CABLES: wiring.cables.map(nameOf).join(","),
  MILLRACE_WIDE_CABLE: wiring.wide === undefined ? "" : nameOf(wiring.wide),
});
