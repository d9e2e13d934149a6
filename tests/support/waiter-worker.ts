/** A Worker that says which event loop a waiter finds in it: none, because it could not tell its own from the others. */
import { findEventLoopFd, PollWaiter } from "../../index.ts";

declare const self: Worker;

if (!Bun.isMainThread) self.postMessage({ fd: findEventLoopFd(), seesRuntime: new PollWaiter().seesRuntime });
