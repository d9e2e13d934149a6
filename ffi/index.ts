/**
 * The public names of `millrace/ffi`: interfaces to attach to, what the machine can do, and how to wait.
 */
export { attach } from "./attach.ts";
export { XdpDevice, type Mode, type Refusal, type XdpDeviceStatistics } from "./device.ts";
export type { DeviceEvent } from "./report.ts";
export type { AttachOptions, BindMode, XdpMode } from "./options.ts";
export { KernelMirror, type KernelMirrorOptions, type KernelMirrorStatistics } from "./net/kernel-mirror.ts";
export { KernelPorts, type KernelPortsOptions } from "./net/kernel-ports.ts";
export { inNamespace } from "./net/namespace.ts";
export type { Finding } from "./finding.ts";
export { probe, type ProbeReport } from "./probe.ts";
export { errnoName, SystemError } from "./sys/errno.ts";
export { findEventLoopFd, PollWaiter } from "./wait.ts";
export type { Claim, Claims } from "./xdp/claim.ts";
export type { SteerStatistics } from "./xdp/program.ts";
export type { RingSizes, XdpStatistics } from "./xsk/setup.ts";
export { XskSocket } from "./xsk/socket.ts";
export type { SocketStatistics } from "./xsk/statistics.ts";
export { OwnerError, Umem } from "./xsk/umem.ts";
export type { UmemOptions } from "./xsk/umem-options.ts";
