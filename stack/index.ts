/**
 * The public names of `millrace/stack`: everything that is plain TypeScript, from frames to the loop.
 */
export type {
  Accounts,
  Burst,
  Clock,
  Device,
  DeviceStatistics,
  LinkEvent,
  Queue,
  SignalSource,
  Umem,
  Waiter,
} from "./device/device.ts";
export { CaptureReader } from "./device/capture.ts";
export type { CaptureInterface, CapturePacket, CaptureTrouble } from "./device/captureformat.ts";
export { faulty, type FaultOptions, type FaultRates, type FaultyDevice } from "./device/fault.ts";
export { createBurst, Frame, FrameEndedError, Lease } from "./device/frame.ts";
export { LoopbackDevice, type LoopbackOptions } from "./device/loopback.ts";
export { createLink, MemoryDevice, type LinkOptions, type MemoryStatistics } from "./device/memory.ts";
export { record, Recorder, type RecordOptions } from "./device/record.ts";
export { Replay, type ReplayOptions } from "./device/replay.ts";
export { DIRECTION, PcapngWriter, type Direction, type PcapngOptions } from "./device/pcapng.ts";
export { MemoryUmem, type UmemOptions } from "./device/pool.ts";
export type { EventSource } from "./device/routesource.ts";
export { seededRandom, type Random } from "./device/random.ts";
export { MAX_PACKET_CHUNKS, Transmitter } from "./device/transmit.ts";
export type { EventHandler, LoopEvent } from "./loop/events.ts";
export {
  EventStream,
  type BurstEvent,
  type EventsOptions,
  type LinkChangeEvent,
  type SignalEvent,
  type TickEvent,
} from "./loop/eventstream.ts";
export type { FrameEvent } from "./loop/held.ts";
export { Loop } from "./loop/loop.ts";
export type { LoopOptions, LoopStatistics, WaitMode } from "./loop/options.ts";
export type { Subscription } from "./loop/subscription.ts";
export type { ErrorHandler, ErrorSource } from "./loop/errors.ts";
export type { LinkHandler } from "./loop/member.ts";
export { FrameBurst, type BurstHandler, type FrameHandler } from "./loop/receiver.ts";
export type { Timer } from "./loop/timers.ts";
export { Backend, type BackendMode, type BackendState } from "./balance/backend.ts";
export { Balancer, type BalancerOptions, type BalancerStatistics } from "./balance/balancer.ts";
export { BackendCheck, type CheckOptions, type Probe } from "./balance/check.ts";
export { EchoProbe, UdpProbe } from "./balance/probes.ts";
export {
  type BackendOptions,
  BalancedService,
  type BalancedServiceOptions,
  type BalancedServiceStatistics,
} from "./balance/service.ts";
export { createUdpSocket, type Attendance } from "./bun.ts";
export {
  readableFrames,
  writableFrames,
  type FrameStreamOptions,
  type ReadableFrames,
  type WritableFramesOptions,
} from "./streams.ts";
export { Bfd, type BfdStatistics } from "./bfd/bfd.ts";
export type { BfdChange, BfdState } from "./bfd/change.ts";
export type { BfdKey, BfdSessionOptions, BfdTimes } from "./bfd/options.ts";
export type { BfdSession, BfdSessionStatistics } from "./bfd/session.ts";
export { Host, type HostParts, type HostStatistics } from "./ip/host.ts";
export type { Echo, EchoError, EchoHandlers, EchoReply } from "./ip/icmp/echoes.ts";
export type { HostEvent } from "./ip/events.ts";
export {
  fromMac as identifiersFromMac,
  type IdentifierSource,
  stable as stableIdentifiers,
  type StableIdentifierInput,
} from "./ip/addresses/interface-identifier.ts";
export type { Interface } from "./ip/interface.ts";
export type { Interceptor } from "./ip/interceptor.ts";
export { EchoMonitor, type EchoMonitorOptions, type EchoMonitorStatistics } from "./ip/paths/echo-monitor.ts";
export {
  type HealthAnswer,
  type HealthCheck,
  HealthMonitor,
  type HealthMonitorOptions,
  type HealthMonitorStatistics,
} from "./ip/paths/health-monitor.ts";
export type { DampingOptions } from "./ip/paths/damping.ts";
export type { PathMonitor, PathWatch, Verdict } from "./ip/paths/monitor.ts";
export type {
  Path,
  PathChange,
  PathNeighbour,
  PathQuery,
  PathReason,
  PathState,
  PathStatistics,
} from "./ip/paths/path.ts";
export type { PathOptions } from "./ip/paths/path-options.ts";
export type { PathPeer, Paths } from "./ip/paths/paths.ts";
export { NeighbourMonitor, type NeighbourMonitorOptions } from "./ip/paths/neighbour-monitor.ts";
export type { PulseOptions, PulseStatistics } from "./ip/paths/pulse.ts";
export { RouteMonitor, type RouteMonitorOptions } from "./ip/paths/route-monitor.ts";
export type { BesideOptions, HostOptions, JoinOptions, PortClaim } from "./ip/options.ts";
export type { Route, RouteKind, RouteOrigin } from "./ip/routes/routes.ts";
export type {
  AnswerMode,
  ServiceAddress,
  ServiceCarrier,
  ServiceMove,
  ServiceOptions,
  ServiceStatistics,
} from "./ip/service/service-address.ts";
export { FeedArbiter } from "./multipath/feed-arbiter.ts";
export type { FeedStatistics } from "./multipath/feed-counters.ts";
export type { FeedClock, FeedField, FeedGroup, FeedHandler, FeedOptions } from "./multipath/feed-options.ts";
export type { FeedSideStatistics } from "./multipath/feed-sides.ts";
export type { CopyStatistics } from "./multipath/copy-filter.ts";
export type { PathScore } from "./multipath/path-scores.ts";
export {
  redundant,
  type RedundantHandler,
  type RedundantSocket,
  type RedundantStatistics,
} from "./multipath/redundant.ts";
export type { DatagramKey, RedundantOptions } from "./multipath/redundant-options.ts";
export type { RedundantRemote, RedundantRemoteStatistics } from "./multipath/redundant-remote.ts";
export { DatagramBursts, type BurstOptions } from "./udp/bursts.ts";
export { Datagram, KeptDatagram } from "./udp/datagram.ts";
export type { EndpointText, UdpOptions } from "./udp/options.ts";
export { Remote } from "./udp/remote.ts";
export {
  type DatagramHandler,
  type PayloadWriter,
  type RemoteOptions,
  type SendOptions,
  UdpSocket,
  type UdpSocketStatistics,
} from "./udp/socket.ts";
export {
  type MultipathPolicy,
  type Notice,
  REFUSED,
  type Refused,
  type SoftError,
  type SourceFilter,
  type Via,
} from "./transport/network.ts";
export type { Packet } from "./transport/packet.ts";
export { IpAddress } from "./wire/address.ts";
export { MacAddress } from "./wire/mac.ts";
export { Prefix } from "./wire/prefix.ts";
export { describe } from "./wire/printer.ts";
