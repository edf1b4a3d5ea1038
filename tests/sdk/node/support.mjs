// What all cases share: the two ways to the stand-in, clients of the SDKs, scripts, and what the stand-in saw.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

export { Anthropic, OpenAI, assert, sleep };
export const MOCK = process.env.SDK_MOCK;
const GATEWAY = process.env.SDK_GATEWAY;
export const KEY = 'sk-test-0123456789';
// Letters of one to four bytes, quotes, and what looks like the end of an event.
export const TEXT = 'Grüße, 日本語 🙂 — "quoted" \\ data: [DONE]\n\n'.repeat(5);
// Longest wait for what has to come; only a failure takes so long.
export const PATIENCE = 60_000;
const messages = [{ role: 'user', content: 'Why is the sky blue?' }];
export const CALL = { name: 'weather', arguments: { city: 'Köln', days: 3 } };
// The ways in which a stream may arrive; each has to give the same text.
export const SHAPES = [
  {},
  { chunking: 'bytes:1' },
  { chunking: 'random:7' },
  { chunking: 'random:8', line_end: 'crlf' },
  { line_end: 'cr' },
  { unterminated: true },
  { gzip: true },
  { gzip: true, chunking: 'random:9' },
];

const WAYS = {
  direct: { name: 'direct', openai: `${MOCK}/v1`, anthropic: MOCK },
  relay: { name: 'relay', openai: `${GATEWAY}/openai/v1`, anthropic: `${GATEWAY}/anthropic` },
};

/** Runs `cases` for each way that is asked for. */
export function ways(title, cases) {
  for (const name of process.env.SDK_WAYS.split(' ')) {
    describe(`${title}, ${name}`, () => cases(WAYS[name]));
  }
}

const settings = { apiKey: KEY, maxRetries: 0, timeout: PATIENCE };
export const gpt = (way, more) => new OpenAI({ baseURL: way.openai, ...settings, ...more });
export const claude = (way, more) => new Anthropic({ baseURL: way.anthropic, ...settings, ...more });
export const chat = (more) => ({ model: 'gpt-4o-mini', messages, ...more });
export const message = (more) => ({ model: 'claude-haiku-4-5-20251001', max_tokens: 4096, messages, ...more });

/** The text of an event of either SDK. */
export function token(event) {
  if (event.object) return event.choices[0]?.delta.content ?? '';
  return event.type === 'content_block_delta' ? event.delta.text : '';
}

export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** One scripted request, which the stand-in's record finds again by its name. */
export class Case {
  constructor(script = {}) {
    this.name = randomUUID();
    if ('fail_attempts' in script) script = { ...script, attempt_key: this.name };
    if (script.gate === true) script = { ...script, gate: this.name };
    // Headers have letters of one byte, so others are escaped.
    const escape = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
    this.headers = { 'x-mock': JSON.stringify(script).replace(/[^ -~]/g, escape), 'x-case': this.name };
  }

  release(permits = 1) {
    return control(`/_mock/release?gate=${this.name}&n=${permits}`, { method: 'POST' });
  }

  /** The requests of this case as they reached the stand-in, headers by name. */
  async seen() {
    const requests = await control(`/_mock/requests?bodies=0&header=x-case:${this.name}`);
    const text = ([name, value]) => [name, Buffer.from(value, 'base64').toString()];
    return requests.map((request) => ({ ...request, headers: Object.fromEntries(request.headers_base64.map(text)) }));
  }
}

/** The options of a request that is scripted. */
export const script = (fields) => ({ headers: new Case(fields).headers });

async function control(path, options) {
  const response = await fetch(MOCK + path, options);
  return response.json();
}

export const stats = () => control('/_mock/stats');

/** Waits for what has to come. */
export async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert(Date.now() < end, `${what} did not come; the stand-in has ${JSON.stringify(await stats())}`);
    await sleep(20);
  }
}

const quiet = () => until(async () => (await stats()).open === 0, 'the end of all exchanges');

/** Gives a function that tells how many callers went away since, once nothing is under way. */
export async function hangUps() {
  await quiet();
  const before = (await stats()).hung_up;
  return async () => {
    await quiet();
    return (await stats()).hung_up - before;
  };
}

/** A `fetch` that keeps the length and the hash of the last body. */
export function hashing() {
  const sent = {};
  const spy = (url, options) => {
    sent.body_len = Buffer.byteLength(options.body);
    sent.body_sha256 = createHash('sha256').update(options.body).digest('hex');
    return fetch(url, options);
  };
  return [spy, sent];
}

/** Bytes that are no text, and more than one piece of anything on the way. */
export function bytes() {
  const pattern = Buffer.from([...Array(256).keys()]);
  return Buffer.concat([Buffer.alloc(3_000_000, pattern), Buffer.from('\r\n--\r\n')]);
}
