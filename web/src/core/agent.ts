// What runs in the guest and answers there: qemu-guest-agent. Its answers come as they are, in {result: …}.
import { get, post } from './api.ts';
import { guestPath } from './guests.ts';
import { parseProperties } from './property.ts';
import type { Guest } from './store.ts';

export interface AgentAddress { 'ip-address': string; 'ip-address-type': string; prefix: number }
export interface AgentInterface { name: string; 'hardware-address'?: string; 'ip-addresses'?: readonly AgentAddress[]; statistics?: { 'rx-bytes': number; 'tx-bytes': number } }
export interface AgentInfo { version: string; supported_commands: readonly { name: string; enabled: boolean }[] }
export interface AgentOs { 'pretty-name'?: string; name?: string; version?: string; 'kernel-release'?: string; machine?: string }
export interface AgentDisk { name: string; mountpoint: string; type: string; 'used-bytes'?: number; 'total-bytes'?: number }
export interface AgentUser { user: string; domain?: string; 'login-time': number }
export interface AgentZone { zone?: string; offset: number }
export interface AgentCpu { 'logical-id': number; online: boolean }
export interface ExecStatus { exited: boolean; exitcode?: number; signal?: number; 'out-data'?: string; 'err-data'?: string; 'out-truncated'?: boolean; 'err-truncated'?: boolean }

export const agentPath = (g: Pick<Guest, 'node' | 'vmid'>): string => `${guestPath(g)}/agent`;

export async function askAgent<T>(g: Guest, command: string): Promise<T> {
  return (await get<{ result: T }>(`${agentPath(g)}/${command}`)).result;
}

export async function tellAgent<T>(g: Guest, command: string): Promise<T> {
  return (await post<{ result: T }>(`${agentPath(g)}/${command}`)).result;
}

/** Of the key `agent`: "1", "enabled=1,fstrim_cloned_disks=1". */
export const isAgentOn = (value: unknown): boolean => ['1', 'on', 'yes', 'true'].includes(parseProperties(String(value ?? ''), 'enabled').get('enabled') ?? '');

/** With the agent on, and its other settings as they were. */
export function withAgent(value: unknown): string {
  const rest = [...parseProperties(String(value ?? ''), 'enabled')].filter(([k]) => k !== 'enabled').map(([k, v]) => `,${k}=${v}`);
  return `1${rest.join('')}`;
}

/** Those that others can reach: neither the loopback's nor what a link has made up for itself. */
export const reachable = (list: readonly AgentInterface[]): { name: string; addresses: string[] }[] =>
  list.filter((i) => i.name !== 'lo').map((i) => ({ name: i.name, addresses: (i['ip-addresses'] ?? []).map((a) => a['ip-address']).filter((a) => !/^(127\.|::1$|fe80:)/i.test(a)) }))
    .filter((i) => i.addresses.length > 0);

/** The API gives bytes as characters. Null: they are no text. */
export function bytesAsText(data: string): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(data, (c) => c.charCodeAt(0)));
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

export const textAsBase64 = (text: string): string => btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(''));

/** Words of a command line, with quotes and backslashes as in a shell, and nothing else of a shell. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null, quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (quote) {
      if (c === quote)
        quote = '';
      else
        word = (word ?? '') + (c === '\\' && quote === '"' && i + 1 < line.length ? line.charAt(++i) : c);
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (/\s/.test(c)) {
      if (word !== null)
        words.push(word);
      word = null;
    } else {
      word = (word ?? '') + (c === '\\' && i + 1 < line.length ? line.charAt(++i) : c);
    }
  }
  return word === null ? words : [...words, word];
}
