/**
 * A zone with everything in it that makes answers differ, for the name server and for others that serve the same file.
 */

const text = (length: number): string => `"${"x".repeat(length)}"`;

/** Its origin, without and with the last dot. */
export const ORIGIN = "zone.test";

export const TEST_ZONE = `
; comments, blank lines and parentheses
$ORIGIN ${ORIGIN}.
$TTL 1h
@ IN SOA ns1 host\\.master ( 2026010100 ; serial
        2h 15M
  1w 5m )
  NS ns1
  IN 3600 NS NS2.Other.Test.
  600 IN MX 10 mail
  600 MX 20 backup.example.
  A 192.0.2.10
  AAAA 2001:db8::10
  CAA 0 issue "ca.example; account=\\"7\\""
ns1   A 192.0.2.1
      AAAA 2001:db8::1
mail  300 A 192.0.2.25
MixedCase A 192.0.2.26
many  A 192.0.2.30
many  A 192.0.2.31
many  A 192.0.2.31
many  IN 1h A 192.0.2.32
alias CNAME many
alias2 CNAME alias
out   CNAME www.example.
loop1 CNAME loop2
loop2 CNAME loop1
dead  CNAME no.such
towild CNAME x.wild
tochild CNAME www.child
*.wild A 192.0.2.40
*.wild TXT wild
has.deep.wild A 192.0.2.41
*.walias CNAME many
*.wout CNAME www.example.
*.wmx MX 5 mail
*.self MX 5 *.self
a.b.c.ent A 192.0.2.50
child NS ns.child
      NS ns.sibling
      NS ns.elsewhere.example.
ns.child A 192.0.2.60
ns.child AAAA 2001:db8::60
hidden.child A 192.0.2.61
sibling NS ns.sibling
ns.sibling A 192.0.2.62
signed NS ns.signed
ns.signed A 192.0.2.63
signed TYPE43 \\# 24 00010801 0102030405060708 090a0b0c0d0e0f10 11121314
lame NS ns.lame.example.
text  TXT "one ; not a comment" two "th\\"ree" ""
long  TXT ${text(255)} ${text(230)}
longer TXT ${text(255)} ${text(255)}
       TXT ${text(254)} ${text(254)}
huge  TXT ${text(255)} ${text(255)} ${text(255)} ${text(255)} ${text(255)}
_sip._udp SRV 10 5 5060 mail
_sip._udp SRV 20 5 5060 many
odd\\.label A 192.0.2.70
odd\\032space A 192.0.2.71
host  HINFO PDP-11 "Unix V6"
naptr NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example!" .
unknown TYPE65280 \\# 3 ab cd ef
1.2.0 PTR mail
$ORIGIN sub.${ORIGIN}.
@ A 192.0.2.80
relative A 192.0.2.81
absolute.${ORIGIN}. A 192.0.2.82
$ORIGIN more.sub.${ORIGIN}.
x 1d A 192.0.2.83
`;

/** Names to ask for, of which some are there, some are below something, and some are nowhere. */
export const NAMES = [
  "@ ns1 mail MIXEDcase many alias alias2 out loop1 dead towild tochild wild a.wild a.b.wild *.wild deep.wild has.deep.wild",
  "other.deep.wild x.has.deep.wild x.*.wild walias a.walias a.b.c.walias wout a.wout a.wmx *.self a.b.self ent c.ent b.c.ent a.b.c.ent z.ent",
  "z.a.b.c.ent child www.child ns.child hidden.child a.b.hidden.child sibling x.sibling ns.sibling signed x.signed ns.signed",
  "lame x.lame text long longer huge _sip._udp _udp _tcp odd\\.label odd\\032space host naptr unknown 1.2.0 sub relative.sub",
  "absolute x.more.sub more.sub nothing no.such.name NOTHING",
].flatMap((line) => line.split(" "));

export const TYPES = "A AAAA NS SOA MX TXT CNAME SRV PTR CAA DS HINFO NAPTR TYPE65280".split(" ");

/** The full name, with a dot at its end. */
export const fullName = (name: string): string => (name === "@" ? `${ORIGIN}.` : `${name}.${ORIGIN}.`);
