/**
 * The symbols of the C library that millrace calls, each a module-level constant so that the JIT sees the callee.
 *
 * `size_t` and `u64` arguments are declared `ptr`: numbers up to 2^53 cross in 2 ns that way, against 6-9 ns as `u64`.
 * Arguments are coerced in silence by the FFI (a missing one is 0, 2^32 is 0), so callers check ranges before they call.
 * Status comes back as i32; errno is read by `errno.ts` in the very next statement.
 */
import { dlopen, type Pointer } from "bun:ffi";

const { symbols } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  if_indextoname: { args: ["u32", "ptr"], returns: "ptr" },
  ioctl: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  mmap: { args: ["ptr", "ptr", "i32", "i32", "i32", "ptr"], returns: "ptr" },
  munmap: { args: ["ptr", "ptr"], returns: "i32" },
  open: { args: ["ptr", "i32", "i32"], returns: "i32" },
  ppoll: { args: ["ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  recv: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  recvfrom: { args: ["i32", "ptr", "ptr", "i32", "ptr", "ptr"], returns: "i32" },
  send: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "ptr", "i32", "ptr", "u32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  strerror: { args: ["i32"], returns: "cstring" },
  usleep: { args: ["u32"], returns: "i32" },
  vsnprintf: { args: ["ptr", "ptr", "ptr", "ptr"], returns: "i32" },
});

export const {
  __errno_location,
  bind,
  clock_gettime,
  close,
  epoll_create1,
  epoll_ctl,
  epoll_wait,
  fcntl,
  getsockname,
  getsockopt,
  if_indextoname,
  ioctl,
  mmap,
  munmap,
  open,
  ppoll,
  recv,
  recvfrom,
  recvmsg,
  send,
  sendto,
  setns,
  setsockopt,
  socket,
  strerror,
  usleep,
  vsnprintf,
} = symbols;

/** A `size_t`, `off_t`, `unsigned long` or address that travels in a `ptr` slot. */
export const word = (value: number): Pointer => {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a machine word: ${value}`);
  return value as Pointer;
};

/** A NUL-terminated copy of `text` that C may read during one call; it is never relocated. */
export const cString = (text: string): Uint8Array => {
  if (text.includes("\0")) throw new RangeError(`a C string cannot hold NUL: ${JSON.stringify(text)}`);
  const encoded = new TextEncoder().encode(text);
  const terminated = new Uint8Array(new ArrayBuffer(encoded.length + 1));
  terminated.set(encoded);
  return terminated;
};
