/** Broadcast and groups: who hears what, and what the calls say. */
import { expect, test } from "bun:test";
import { failure, refusal, type Stage, thrownBy } from "./udp-stage.ts";

const inUse = failure("EADDRINUSE", 98, "address already in use", "setsockopt");
const notAvailable = failure("EADDRNOTAVAIL", 99, "address not available", "setsockopt");
const noDevice = failure("ENODEV", 19, "no such device", "setsockopt");
const invalid = failure("EINVAL", 22, "invalid argument", "setsockopt");
const noOption = failure("ENOPROTOOPT", 92, "protocol not available", "setsockopt");

export const udpSocketGroupTests = (stage: Stage): void => {
  hearingTests(stage);
  sourceTests(stage);
  callTests(stage);
};

const hearingTests = (stage: Stage): void => {
  const { open, listen, peer, arrived } = stage;

  test("everybody is reached only by those who may, and hears", async () => {
    const { own, far, everybody } = stage.world;
    const forbidden = failure("EACCES", 13, "permission denied", "send");
    const other = await peer({ hostname: "0.0.0.0", broadcast: true });
    const { socket, heard } = await listen();
    const send = (): boolean => socket.send("to all", other.port, everybody);
    expect(thrownBy(send)).toEqual(forbidden);
    expect(socket.setBroadcast(true)).toBe(true);
    expect(send()).toBe(true);
    expect(await arrived(other.received, 1)).toEqual(["to all"]);
    expect(other.received[0]).toMatchObject({ address: own.v4, port: socket.port });
    socket.setBroadcast(false);
    expect(thrownBy(send)).toEqual(forbidden);
    other.send("to all of you", socket.port, everybody);
    expect(await arrived(heard, 1)).toEqual(["to all of you"]);
    expect(heard[0]!.given.slice(2, 4)).toEqual([other.port, far.v4]);
  });

  test("a member of a group hears what is sent to it, until it leaves", async () => {
    const { own, far } = stage.world;
    const group = "239.77.0.1";
    const { socket, heard } = await listen();
    const other = await peer({ hostname: "0.0.0.0", multicastInterface: far.v4 });
    expect(socket.addMembership(group, own.v4)).toBe(true);
    other.send("to the group", socket.port, group);
    expect(await arrived(heard, 1)).toEqual(["to the group"]);
    expect(heard[0]!.given.slice(2, 4)).toEqual([other.port, far.v4]);
    expect(socket.dropMembership(group, own.v4)).toBe(true);
    other.send("to others", socket.port, group);
    other.send("marker", socket.port, own.v4);
    expect(await arrived(heard, 2)).toEqual(["to the group", "marker"]);
  });

  test("a member of a group of IPv6 hears what is sent to it, until it leaves", async () => {
    const { own, far } = stage.world;
    const group = "ff15::4d:1";
    const { socket, heard } = await listen({ hostname: "::" });
    const other = await peer({ hostname: far.v6 });
    expect(socket.addMembership(group)).toBe(true);
    other.send("to the group", socket.port, group);
    expect(await arrived(heard, 1)).toEqual(["to the group"]);
    expect(socket.dropMembership(group)).toBe(true);
    other.send("to others", socket.port, group);
    other.send("marker", socket.port, own.v6);
    expect(await arrived(heard, 2)).toEqual(["to the group", "marker"]);
  });

  test("what is sent to a group reaches members elsewhere, and our own unless told otherwise", async () => {
    const { own, far } = stage.world;
    const group = "239.77.0.2";
    const member = await listen();
    member.socket.addMembership(group, own.v4);
    const sender = await open();
    expect(sender.setMulticastInterface(own.v4)).toBe(true);
    expect(sender.send("both", member.socket.port, group)).toBe(true);
    expect(await arrived(member.heard, 1)).toEqual(["both"]);
    expect(member.heard[0]!.given.slice(2, 4)).toEqual([sender.port, own.v4]);
    expect(sender.setMulticastLoopback(false)).toBe(false);
    const elsewhere = await peer({ hostname: "0.0.0.0", group: [group, far.v4] });
    sender.send("not to ourselves", elsewhere.port, group);
    expect(await arrived(elsewhere.received, 1)).toEqual(["not to ourselves"]);
    expect(elsewhere.received[0]).toMatchObject({ address: own.v4, port: sender.port });
    sender.send("not to ourselves", member.socket.port, group);
    sender.setMulticastLoopback(true);
    sender.send("to ourselves again", member.socket.port, group);
    expect(await arrived(member.heard, 2)).toEqual(["both", "to ourselves again"]);
  });

  test("a socket bound to a group hears that one alone", async () => {
    const { own, far } = stage.world;
    const { socket, heard } = await listen({ hostname: "239.77.0.3" });
    socket.addMembership("239.77.0.3", own.v4);
    socket.addMembership("239.77.0.4", own.v4);
    const other = await peer({ hostname: "0.0.0.0", multicastInterface: far.v4 });
    other.send("not its own", socket.port, "239.77.0.4");
    other.send("its own", socket.port, "239.77.0.3");
    expect(await arrived(heard, 1)).toEqual(["its own"]);
  });
};

const sourceTests = (stage: Stage): void => {
  const { listen, peer, arrived } = stage;

  test("a member for some sources hears those alone", async () => {
    const { own, far, nobody } = stage.world;
    const group = "232.77.0.1";
    const { socket, heard } = await listen();
    const other = await peer({ hostname: "0.0.0.0", multicastInterface: far.v4 });
    const say = (text: string): void => {
      other.send(text, socket.port, group);
      other.send(`after ${text}`, socket.port, own.v4);
    };
    expect(socket.addSourceSpecificMembership(nobody, group, own.v4)).toBe(true);
    say("unwanted");
    expect(await arrived(heard, 1)).toEqual(["after unwanted"]);
    expect(socket.addSourceSpecificMembership(far.v4, group, own.v4)).toBe(true);
    say("wanted");
    expect((await arrived(heard, 3)).slice(1)).toEqual(["wanted", "after wanted"]);
    expect(socket.dropSourceSpecificMembership(far.v4, group, own.v4)).toBe(true);
    say("unwanted again");
    expect((await arrived(heard, 4)).slice(3)).toEqual(["after unwanted again"]);
    // With its last source the group is left, so that it can be joined anew.
    expect(socket.dropSourceSpecificMembership(nobody, group, own.v4)).toBe(true);
    expect(socket.addMembership(group, own.v4)).toBe(true);
    say("for everybody");
    expect((await arrived(heard, 6)).slice(4)).toEqual(["for everybody", "after for everybody"]);
  });

  test("the same over IPv6", async () => {
    const { own, far } = stage.world;
    const group = "ff35::4d:2";
    const { socket, heard } = await listen({ hostname: own.v6 });
    const wide = await listen({ hostname: "::" });
    const other = await peer({ hostname: far.v6 });
    expect(wide.socket.addSourceSpecificMembership("2001:db8::77", group)).toBe(true);
    other.send("unwanted", wide.socket.port, group);
    other.send("marker", wide.socket.port, own.v6);
    expect(await arrived(wide.heard, 1)).toEqual(["marker"]);
    expect(wide.socket.addSourceSpecificMembership(far.v6, group)).toBe(true);
    other.send("wanted", wide.socket.port, group);
    expect(await arrived(wide.heard, 2)).toEqual(["marker", "wanted"]);
    expect([heard, socket.closed]).toEqual([[], false]);
  });

  test("what the calls for sources say", async () => {
    const { own, far, nobody } = stage.world;
    const { socket } = await listen();
    const group = "232.77.0.2";
    expect(thrownBy(() => socket.dropSourceSpecificMembership(far.v4, group, own.v4))).toEqual(invalid);
    expect(socket.addSourceSpecificMembership(far.v4, group, own.v4)).toBe(true);
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v4, group, own.v4))).toEqual(notAvailable);
    expect(thrownBy(() => socket.dropSourceSpecificMembership(nobody, group, own.v4))).toEqual(notAvailable);
    expect(thrownBy(() => socket.addMembership(group, own.v4))).toEqual(inUse);
    expect(socket.dropMembership(group, own.v4)).toBe(true);
    expect(thrownBy(() => socket.dropSourceSpecificMembership(far.v4, group, own.v4))).toEqual(invalid);
    // A membership for everybody becomes one for some.
    expect(socket.addMembership(group, own.v4)).toBe(true);
    expect(socket.addSourceSpecificMembership(far.v4, group, own.v4)).toBe(true);
    expect(socket.dropSourceSpecificMembership(far.v4, group, own.v4)).toBe(true);
    expect(thrownBy(() => socket.dropMembership(group, own.v4))).toEqual(notAvailable);
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v4, "10.1.1.1", own.v4))).toEqual(invalid);
    expect(thrownBy(() => socket.addSourceSpecificMembership("foo", group, own.v4))).toEqual(invalid);
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v4, "foo", own.v4))).toEqual(invalid);
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v6, group, own.v4))).toEqual(
      refusal("Family mismatch between source and group addresses"),
    );
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v6, "ff35::1"))).toEqual(noOption);
  });
};

const callTests = (stage: Stage): void => {
  const { open } = stage;

  test("what the calls for groups say", async () => {
    const { own, far } = stage.world;
    const socket = await open();
    const group = "239.77.0.5";
    expect(thrownBy(() => socket.dropMembership(group, own.v4))).toEqual(notAvailable);
    expect(socket.addMembership(group, own.v4)).toBe(true);
    expect(thrownBy(() => socket.addMembership(group, own.v4))).toEqual(inUse);
    expect(thrownBy(() => socket.addMembership(group, far.v4))).toEqual(noDevice);
    expect(thrownBy(() => socket.dropMembership(group, far.v4))).toEqual(notAvailable);
    expect(socket.dropMembership(group, own.v4)).toBe(true);
    expect(thrownBy(() => socket.dropMembership(group, own.v4))).toEqual(notAvailable);
    expect(thrownBy(() => socket.addMembership("10.1.1.1", own.v4))).toEqual(invalid);
    expect(thrownBy(() => socket.addMembership("foo", own.v4))).toEqual(invalid);
    expect(thrownBy(() => socket.addMembership("ff15::4d:3"))).toEqual(noOption);
    expect(thrownBy(() => socket.addMembership(group, own.v6))).toEqual(
      refusal("Family mismatch between address and interface"),
    );
  });

  test("what the calls for groups of IPv6 say", async () => {
    const { own, far } = stage.world;
    const socket = await open({ hostname: "::" });
    const group = "ff15::4d:3";
    expect(thrownBy(() => socket.dropMembership(group))).toEqual(notAvailable);
    expect(socket.addMembership(group)).toBe(true);
    expect(thrownBy(() => socket.addMembership(group))).toEqual(inUse);
    expect(socket.dropMembership(group)).toBe(true);
    expect(thrownBy(() => socket.dropSourceSpecificMembership(far.v6, group))).toEqual(invalid);
    expect(socket.addSourceSpecificMembership(far.v6, group)).toBe(true);
    expect(thrownBy(() => socket.addSourceSpecificMembership(far.v6, group))).toEqual(notAvailable);
    expect(thrownBy(() => socket.dropSourceSpecificMembership("2001:db8::1", group))).toEqual(notAvailable);
    expect(socket.dropSourceSpecificMembership(far.v6, group)).toBe(true);
    expect(thrownBy(() => socket.addMembership("fd00::1"))).toEqual(invalid);
    // A socket of both families joins groups of both.
    expect(socket.addMembership("239.77.0.6", own.v4)).toBe(true);
    expect(thrownBy(() => socket.addMembership("239.77.0.6", own.v4))).toEqual(inUse);
  });

  test("what setMulticastInterface says", async () => {
    const { own, far } = stage.world;
    const socket = await open();
    expect(socket.setMulticastInterface(own.v4)).toBe(true);
    expect(socket.setMulticastInterface("0.0.0.0")).toBe(true);
    expect(socket.setMulticastInterface("foo")).toBe(false);
    expect(thrownBy(() => socket.setMulticastInterface(far.v4))).toEqual(notAvailable);
    expect(thrownBy(() => socket.setMulticastInterface(own.v6))).toEqual(noOption);
    const six = await open({ hostname: "::" });
    expect([own.v6, own.v4, "::"].map((text) => six.setMulticastInterface(text))).toEqual([true, true, true]);
    expect(six.setMulticastInterface("junk")).toBe(false);
  });

  test("too few arguments are refused", async () => {
    const socket = await open();
    for (const name of ["addMembership", "dropMembership", "setMulticastInterface"] as const)
      expect(thrownBy(() => (socket[name] as () => boolean).call(socket))).toEqual(
        refusal("Expected 1 argument, got 0"),
      );
    for (const name of ["addSourceSpecificMembership", "dropSourceSpecificMembership"] as const) {
      const call = socket[name] as (...given: string[]) => boolean;
      expect(thrownBy(() => call.call(socket))).toEqual(refusal("Expected 2 arguments, got 0"));
      expect(thrownBy(() => call.call(socket, "10.0.0.1"))).toEqual(refusal("Expected 2 arguments, got 1"));
    }
  });
};
