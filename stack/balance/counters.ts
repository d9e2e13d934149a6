/**
 * What happened to the packets of a balancer's services: each ends in one of these outcomes, or is the host's.
 */
export interface BalanceCounters {
  /** Sent on, or waiting for their backend's Ethernet address; whole and in fragments. */
  forwarded: number;
  /** Of those, in another packet to the backend's address. */
  tunnelled: number;
  /** Of those, later fragments, which went where the first one of their packet went. */
  fragments: number;
  /** Of those, ICMP errors about packets that backends sent. */
  icmpErrors: number;
  /** Cut on the way, since the next link or the tunnel carries less. */
  cut: number;
  /** Later fragments that came before the first one: nobody can tell whose they are, so they are left to the host. */
  earlyFragments: number;
  /** ICMP errors about no flow of a service: left to the host. */
  strayErrors: number;
  /** There was no backend; the sender is told. */
  unserved: number;
  /** Their time to live was over; the sender is told. */
  expired: number;
  /** Longer than what the next link or the tunnel carries, and not to be cut; the sender is told. */
  tooBig: number;
  /**
   * No way to the backend: no route, a link that is down, no address of ours to tunnel from, or another link for a sender whose
   * address is of its own link alone; the sender is told.
   */
  unreachable: number;
  /** Given up while they waited for the backend's Ethernet address. */
  unresolved: number;
  /** The transmit ring or the pool was full. */
  full: number;
}

export const freshCounters = (): BalanceCounters => ({
  forwarded: 0,
  tunnelled: 0,
  fragments: 0,
  icmpErrors: 0,
  cut: 0,
  earlyFragments: 0,
  strayErrors: 0,
  unserved: 0,
  expired: 0,
  tooBig: 0,
  unreachable: 0,
  unresolved: 0,
  full: 0,
});
