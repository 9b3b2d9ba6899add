import test from 'node:test';
import assert from 'node:assert/strict';
import { factorsOf } from '../src/core/session.ts';
import { byPrivilege, entriesFor, levels, sourcesOf, type Subject } from '../src/views/access-explain.ts';
import { groupValues, type AclEntry } from '../src/views/access-data.ts';
import { base32, newSecret, otpauthUri } from '../src/views/access-otp.ts';
import { csvCell } from '../src/core/csv.ts';
import { recordsAsCsv, asLines, isFound, isRefused, type AuditRecord, type Filter } from '../src/views/audit-data.ts';

const entry = (path: string, type: AclEntry['type'], ugid: string, roleid: string, propagate = 1): AclEntry => ({ path, type, ugid, roleid, propagate });
const ada: Subject = { type: 'user', id: 'ada@pve', groups: ['web'] };
const roles = (list: readonly AclEntry[]): string[] => list.map((e) => e.roleid);

test('a path has a level for each of its parts', () => {
  assert.deepEqual(levels('/'), ['/']);
  assert.deepEqual(levels('/pool/a/b'), ['/', '/pool', '/pool/a', '/pool/a/b']);
});

test('a deeper level replaces what is above, own entries those of groups, and what does not propagate stays where it is', () => {
  const acl = [entry('/', 'group', 'web', 'Everywhere'), entry('/vms', 'user', 'ada@pve', 'Own'), entry('/vms', 'group', 'web', 'Group'), entry('/vms/100', 'group', 'web', 'Deep'), entry('/storage', 'user', 'ada@pve', 'Here', 0)];
  assert.deepEqual(roles(entriesFor(acl, ada, '/vms/101')), ['Own']);
  assert.deepEqual(roles(entriesFor(acl, ada, '/vms/100')), ['Deep']);
  assert.deepEqual(roles(entriesFor(acl, ada, '/storage')), ['Here']);
  assert.deepEqual(roles(entriesFor(acl, ada, '/storage/local')), ['Everywhere']);
});

test('a pool adds to its guests, but not where there is NoAccess; a token counts by its own entries', () => {
  const acl = [entry('/pool/shop', 'group', 'web', 'PoolRole'), entry('/vms/100', 'user', 'ada@pve', 'NoAccess'), entry('/vms', 'token', 'ada@pve!x', 'TokenRole')];
  assert.deepEqual(roles(sourcesOf(acl, ada, '/vms/101', ['shop'])), ['PoolRole']);
  assert.deepEqual(roles(sourcesOf(acl, ada, '/vms/100', ['shop'])), ['NoAccess']);
  assert.deepEqual(roles(sourcesOf(acl, { type: 'token', id: 'ada@pve!x', groups: ['web'] }, '/vms/101', ['shop'])), ['TokenRole']);
  const from = byPrivilege(sourcesOf(acl, ada, '/vms/101', ['shop']), () => ['VM.Audit']);
  assert.deepEqual(roles(from.get('VM.Audit') ?? []), ['PoolRole']);
});

test('who may not change all users names his own groups and leaves the others', () => {
  const u = { userid: 'x@pve', groups: 'mine,other' };
  const isMine = (g: string): boolean => g.startsWith('mine');
  assert.deepEqual(groupValues(u, new Set(['mine', 'new']), true, isMine), { groups: 'mine,new' });
  assert.deepEqual(groupValues(u, new Set(['mine', 'mine2', 'other']), false, isMine), { groups: 'mine,mine2', append: true });
  assert.deepEqual(groupValues({ ...u, groups: 'mine' }, new Set(['mine2']), false, isMine), { groups: 'mine2' });
});

test('base32 as in RFC 4648, without padding', () => {
  const of = (text: string): string => base32(new TextEncoder().encode(text));
  assert.deepEqual(['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map(of), ['', 'MY', 'MZXQ', 'MZXW6', 'MZXW6YQ', 'MZXW6YTB', 'MZXW6YTBOI']);
  assert.match(newSecret(), /^[A-Z2-7]{32}$/);
  assert.equal(otpauthUri('Holm a', 'b@pve', 'S'), 'otpauth://totp/Holm%20a%3Ab%40pve?secret=S&issuer=Holm%20a&algorithm=SHA1&digits=6&period=30');
});

test('what a challenge offers', () => {
  const ticket = (offers: object): string => `PVE:!tfa!${encodeURIComponent(JSON.stringify(offers))}:0::x`;
  assert.deepEqual(factorsOf(ticket({ totp: true })), ['totp']);
  assert.deepEqual(factorsOf(ticket({ recovery: [0, 3] })), ['recovery']);
  assert.deepEqual(factorsOf(ticket({ totp: true, recovery: [] })), ['totp']);
  assert.deepEqual(factorsOf('PVE:garbage'), ['totp', 'recovery']);
});

const record: AuditRecord = { seq: 7, time: 0, event: 'write', user: 'ada@pve', from: '::1', method: 'PUT', path: '/access/acl', status: 403, error: 'no, "never"' };
const all: Filter = { user: '', since: '', until: '', text: '', result: '' };

test('records are found by words and result', () => {
  assert.ok(isRefused(record) && !isRefused({ ...record, status: 200 }));
  assert.ok(isFound(record, { ...all, text: 'acl ADA' }) && !isFound(record, { ...all, text: 'acl bob' }));
  assert.ok(isFound(record, { ...all, result: 'refused' }) && !isFound(record, { ...all, result: 'ok' }));
  assert.ok(isRefused({ seq: 1, time: 0, event: 'task', result: 'error' }) && !isRefused({ seq: 1, time: 0, event: 'task', result: 'WARNINGS: 1' }));
});

test('files: every member as JSON; CSV that no spreadsheet takes for a formula', () => {
  assert.deepEqual(JSON.parse(asLines([record])), record);
  assert.equal(csvCell('a"b'), '"a""b"');
  assert.equal(csvCell('=1+1'), "'=1+1");
  const [head, row] = recordsAsCsv([record]).split('\r\n');
  assert.equal(head?.split(',').length, 15);
  assert.match(row ?? '', /^7,1970-01-01T00:00:00.000Z,write,ada@pve,,::1,PUT,\/access\/acl,,403,"no, ""never""",/);
});
