// OpenAI's SDK: what it can ask for, and that it gets it.

import { test } from 'node:test';
import { toFile } from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { CALL, Case, KEY, MOCK, OpenAI, SHAPES, TEXT, all, assert, bytes } from './support.mjs';
import { chat, gpt, hashing, script, token, ways } from './support.mjs';

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];
const Trip = z.object({ city: z.string(), days: z.number() });
const trip = { city: 'sample', days: 1 };

ways('OpenAI', (way) => {
  const client = gpt(way);

  test('plain', async () => {
    const answer = await client.chat.completions.create(chat(), script({ text: TEXT }));
    assert.equal(answer.choices[0].message.content, TEXT);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.match(answer._request_id, /^req_/);
  });

  for (const shape of SHAPES) {
    test(`stream ${JSON.stringify(shape)}`, async () => {
      const ask = chat({ stream: true, stream_options: { include_usage: true } });
      const chunks = await all(await client.chat.completions.create(ask, script({ text: TEXT, ...shape })));
      assert.equal(chunks.map(token).join(''), TEXT);
      assert.equal(chunks[0].choices[0].delta.role, 'assistant');
      assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
      assert.equal(chunks.at(-1).usage.completion_tokens, chunks.length - 3);
    });
  }

  test('each token is here before the next is sent', async () => {
    const one = new Case({ text: 'one two three', gate: true });
    const stream = await client.chat.completions.create(chat({ stream: true }), { headers: one.headers });
    const events = stream[Symbol.asyncIterator]();
    assert.equal((await events.next()).value.choices[0].delta.role, 'assistant');
    for (const expected of ['one', ' two', ' three']) {
      await one.release();
      assert.equal(token((await events.next()).value), expected);
    }
    assert.equal((await events.next()).value.choices[0].finish_reason, 'stop');
    assert((await events.next()).done);
  });

  test('tools, whole and streamed', async () => {
    const answer = await client.chat.completions.create(chat({ tools }), script({ tool_call: CALL }));
    assert.deepEqual(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), CALL.arguments);
    const stream = client.chat.completions.stream(chat({ tools }), script({ tool_call: CALL, chunking: 'random:2' }));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.tool_calls[0].function.arguments, JSON.stringify(CALL.arguments));
  });

  test('structured answers', async () => {
    const ask = chat({ response_format: zodResponseFormat(Trip, 'trip') });
    const answer = await client.chat.completions.parse(ask, script());
    assert.deepEqual(answer.choices[0].message.parsed, trip);
    const text = { format: zodTextFormat(Trip, 'trip') };
    const parsed = await client.responses.parse({ model: 'gpt-4.1', input: 'Hi', text }, script());
    assert.deepEqual(parsed.output_parsed, trip);
  });

  test('responses, whole and streamed', async () => {
    const ask = { model: 'gpt-4.1', input: 'Hi' };
    assert.equal((await client.responses.create(ask, script({ text: TEXT }))).output_text, TEXT);
    const cut = script({ text: TEXT, chunking: 'random:3' });
    const events = await all(await client.responses.create({ ...ask, stream: true }, cut));
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    const deltas = events.filter((event) => event.type === 'response.output_text.delta');
    assert.equal(deltas.map((event) => event.delta).join(''), TEXT);
    assert.equal(events.at(-1).type, 'response.completed');
  });

  test('vision of 2 MB arrives byte for byte', async () => {
    const one = new Case({ text: 'A picture.' });
    const [spy, sent] = hashing();
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'QUJD'.repeat(500_000)}` } };
    const ask = chat({ messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, image] }] });
    const answer = await gpt(way, { fetch: spy }).chat.completions.create(ask, { headers: one.headers });
    assert.equal(answer.choices[0].message.content, 'A picture.');
    const [{ body_len, body_sha256 }] = await one.seen();
    assert.deepEqual({ body_len, body_sha256 }, sent);
  });

  test('files', async () => {
    const data = bytes();
    const made = await client.files.create({ file: await toFile(data, 'Grüße.bin'), purpose: 'user_data' });
    assert.deepEqual([made.bytes, made.filename], [data.length, 'Grüße.bin']);
    assert.deepEqual(await client.files.retrieve(made.id), made);
    const content = await client.files.content(made.id);
    assert(data.equals(Buffer.from(await content.arrayBuffer())));
    assert((await client.files.delete(made.id)).deleted);
    await assert.rejects(client.files.retrieve(made.id), OpenAI.NotFoundError);
  });

  test('pages', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) {
      made.push((await client.files.create({ file: await toFile(Buffer.from('{}'), `${i}.jsonl`), purpose: 'batch' })).id);
    }
    const listed = await all(client.files.list({ limit: 2, order: 'asc', purpose: 'batch' }));
    const mine = listed.map((file) => file.id).filter((id) => made.includes(id));
    assert.deepEqual(mine, made);
    for (const id of made) await client.files.delete(id);
    const models = await all(client.models.list());
    assert(models.some((model) => model.id === 'gpt-4o'));
  });

  test('speech is the same bytes', async () => {
    const ask = { model: 'tts-1', voice: 'alloy', input: 'word '.repeat(300) };
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
    const straight = await fetch(`${MOCK}/v1/audio/speech`, { method: 'POST', headers, body: JSON.stringify(ask) });
    const expected = Buffer.from(await straight.arrayBuffer());
    const speech = await client.audio.speech.create(ask);
    assert.equal(speech.headers.get('content-type'), 'audio/mpeg');
    assert(expected.length > 1_000_000 && expected.equals(Buffer.from(await speech.arrayBuffer())));
  });

  test('transcription', async () => {
    const file = await toFile(Buffer.alloc(256_000), 'talk.mp3');
    const answer = await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file });
    assert.equal(answer.text, 'Somebody says 256000 bytes, and they are called talk.mp3.');
    const events = await all(await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file, stream: true }));
    assert.equal(events.at(-1).text, answer.text);
  });

  test('embeddings', async () => {
    const ask = { model: 'text-embedding-3-small', input: ['one', 'two'] };
    const packed = await client.embeddings.create(ask);
    const plain = await client.embeddings.create({ ...ask, encoding_format: 'float' });
    assert.equal(packed.data[1].embedding.length, 1536);
    packed.data[1].embedding.forEach((number, i) => assert(Math.abs(number - plain.data[1].embedding[i]) < 1e-6));
  });

  test('raw response', async () => {
    const request = client.chat.completions.create(chat(), script({ text: TEXT, gzip: true }));
    const { data, response, request_id } = await request.withResponse();
    assert.equal(data.choices[0].message.content, TEXT);
    assert.match(request_id, /^req_/);
    assert.equal(response.headers.get('x-ratelimit-limit-requests'), '10000');
    assert.equal(response.headers.get('content-encoding'), 'gzip');
    for (const name of ['server', 'cf-ray', 'openai-organization']) {
      assert.equal(response.headers.has(name), way.name === 'direct', name);
    }
  });

  test('what arrives is what was sent but telemetry', async () => {
    const one = new Case();
    const headers = { ...one.headers, 'idempotency-key': 'once', 'openai-beta': 'x=1' };
    await client.chat.completions.create(chat(), { headers, query: { a: 'b c' } });
    const [seen] = await one.seen();
    assert.match(seen.path, /^\/v1\/chat\/completions\?a=b(\+|%20)c$/);
    assert.equal(seen.headers.authorization, `Bearer ${KEY}`);
    assert.deepEqual([seen.headers['idempotency-key'], seen.headers['openai-beta']], ['once', 'x=1']);
    const telemetry = Object.keys(seen.headers).some((name) => name.startsWith('x-stainless-'));
    assert.equal(telemetry, way.name === 'direct');
    assert.match(seen.headers['user-agent'], way.name === 'direct' ? /^OpenAI\/JS/ : /^xllm-proxy\/1$/);
  });
});
