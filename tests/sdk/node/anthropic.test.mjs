// Anthropic's SDK: what it can ask for, and that it gets it.

import { test } from 'node:test';
import { toFile } from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { Anthropic, CALL, Case, KEY, SHAPES, TEXT, all, assert, bytes, claude, hashing } from './support.mjs';
import { message, script, token, ways } from './support.mjs';

const tools = [{ name: 'weather', input_schema: { type: 'object' } }];

ways('Anthropic', (way) => {
  const client = claude(way);

  test('plain', async () => {
    const answer = await client.messages.create(message(), script({ text: TEXT }));
    assert.deepEqual([answer.content[0].text, answer.stop_reason], [TEXT, 'end_turn']);
    assert.match(answer._request_id, /^req_/);
  });

  for (const shape of SHAPES) {
    test(`stream ${JSON.stringify(shape)}`, async () => {
      const events = await all(await client.messages.create(message({ stream: true }), script({ text: TEXT, ...shape })));
      assert.equal(events.map(token).join(''), TEXT);
      const kinds = events.map((event) => event.type).filter((kind) => kind !== 'content_block_delta');
      const expected = ['message_start', 'content_block_start', 'content_block_stop', 'message_delta', 'message_stop'];
      // Whether the last event counts without its blank line is the SDK's affair.
      assert.deepEqual(kinds, shape.unterminated ? expected.slice(0, kinds.length) : expected);
      assert(kinds.length >= 4);
    });
  }

  test('each token is here before the next is sent', async () => {
    const one = new Case({ text: 'one two three', gate: true });
    const stream = await client.messages.create(message({ stream: true }), { headers: one.headers });
    const events = stream[Symbol.asyncIterator]();
    assert.equal((await events.next()).value.type, 'message_start');
    assert.equal((await events.next()).value.type, 'content_block_start');
    for (const expected of ['one', ' two', ' three']) {
      await one.release();
      assert.equal(token((await events.next()).value), expected);
    }
  });

  test('the stream helper, with thinking', async () => {
    const ask = message({ thinking: { type: 'enabled', budget_tokens: 1024 } });
    const stream = client.messages.stream(ask, script({ text: TEXT, thinking: 'Hm, so', chunking: 'random:4' }));
    assert.equal(await stream.finalText(), TEXT);
    assert.equal((await stream.finalMessage()).content[0].thinking, 'Hm, so');
  });

  test('tools, whole and streamed', async () => {
    const answer = await client.messages.create(message({ tools }), script({ tool_call: CALL, text: 'Let me look.' }));
    assert.deepEqual(answer.content[1].input, CALL.arguments);
    const final = await client.messages.stream(message({ tools }), script({ tool_call: CALL })).finalMessage();
    assert.deepEqual([final.content[0].input, final.stop_reason], [CALL.arguments, 'tool_use']);
  });

  test('structured answers', async () => {
    const format = zodOutputFormat(z.object({ city: z.string(), days: z.number() }));
    const answer = await client.messages.parse(message({ output_config: { format } }), script());
    assert.deepEqual(answer.parsed_output, { city: 'sample', days: 1 });
  });

  for (const size of [2_000_000, 32 * 1024 * 1024]) {
    test(`vision of ${size} bytes arrives byte for byte`, async () => {
      const one = new Case({ text: 'A picture.' });
      const [spy, sent] = hashing();
      const source = { type: 'base64', media_type: 'image/png', data: 'QUJD'.repeat(size / 4) };
      const ask = message({ messages: [{ role: 'user', content: [{ type: 'image', source }] }] });
      const answer = await claude(way, { fetch: spy }).messages.create(ask, { headers: one.headers });
      assert.equal(answer.content[0].text, 'A picture.');
      const [{ body_len, body_sha256 }] = await one.seen();
      assert.deepEqual({ body_len, body_sha256 }, sent);
    });
  }

  test('counting', async () => {
    const { max_tokens: _, ...ask } = message();
    assert.equal((await client.messages.countTokens(ask)).input_tokens, 6);
  });

  test('pages', async () => {
    const models = await all(client.models.list({ limit: 2 }));
    assert.equal(new Set(models.map((model) => model.id)).size, 5);
    assert.equal((await client.models.retrieve(models[0].id)).display_name, 'Claude Sonnet 4.5');
  });

  for (const beta of [false, true]) {
    test(beta ? 'files, beta' : 'files', async () => {
      const files = beta ? client.beta.files : client.files;
      const data = bytes();
      const betas = beta ? { betas: ['files-api-2025-04-14'] } : {};
      const file = await toFile(data, 'Grüße.bin', { type: 'application/x-test' });
      const one = new Case();
      const made = await files.upload({ file, ...betas }, { headers: one.headers });
      assert.deepEqual([made.size_bytes, made.filename, made.mime_type], [data.length, 'Grüße.bin', 'application/x-test']);
      assert.equal((await one.seen())[0].headers['anthropic-beta'], betas.betas?.[0]);
      const content = await files.download(made.id);
      assert(data.equals(Buffer.from(await content.arrayBuffer())));
      const others = [];
      for (let i = 0; i < 3; i++) others.push((await files.upload({ file: await toFile(Buffer.from('x'), `${i}`) })).id);
      const listed = (await all(files.list({ limit: 2 }))).map((each) => each.id);
      for (const id of [made.id, ...others]) {
        assert(listed.includes(id));
        assert.equal((await files.delete(id)).type, 'file_deleted');
      }
      await assert.rejects(files.retrieveMetadata(made.id), Anthropic.NotFoundError);
    });
  }

  test('raw response', async () => {
    const { data, response, request_id } = await client.messages
      .create(message(), script({ text: TEXT, gzip: true }))
      .withResponse();
    assert.equal(data.content[0].text, TEXT);
    assert.match(request_id, /^req_/);
    assert.equal(response.headers.get('anthropic-ratelimit-requests-limit'), '4000');
    assert.equal(response.headers.get('content-encoding'), 'gzip');
    for (const name of ['server', 'cf-ray', 'anthropic-organization-id', 'via']) {
      assert.equal(response.headers.has(name), way.name === 'direct', name);
    }
  });

  // The SDK sends both of its credentials as bearer tokens; its versions before 1 sent an API key as `x-api-key`.
  const forms = {
    apiKey: { apiKey: KEY },
    authToken: { apiKey: null, authToken: KEY },
    'x-api-key': { apiKey: null, defaultHeaders: { 'x-api-key': KEY } },
  };
  for (const [form, settings] of Object.entries(forms)) {
    test(`the credential ${form} arrives as sent`, async () => {
      const one = new Case();
      await claude(way, settings).messages.create(message(), { headers: { ...one.headers, 'anthropic-beta': 'a-1,b-2' } });
      const [{ headers }] = await one.seen();
      const expected = form === 'x-api-key' ? [KEY, undefined] : [undefined, `Bearer ${KEY}`];
      assert.deepEqual([headers['x-api-key'], headers.authorization], expected);
      assert.match(headers['anthropic-version'], /^\d{4}-\d\d-\d\d$/);
      assert.equal(headers['anthropic-beta'], 'a-1,b-2');
      const telemetry = Object.keys(headers).some((name) => name.startsWith('x-stainless-'));
      assert.equal(telemetry, way.name === 'direct');
      assert.match(headers['user-agent'], way.name === 'direct' ? /^Anthropic\/JS/ : /^xllm-proxy\/1$/);
    });
  }
});
