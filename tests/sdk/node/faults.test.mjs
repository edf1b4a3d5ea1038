// What goes wrong, and that the SDKs see it as they see it straight from the provider.

import { test } from 'node:test';
import { Anthropic, Case, OpenAI, TEXT, all, assert, chat, claude, gpt } from './support.mjs';
import { hangUps, message, script, stats, token, until, ways } from './support.mjs';

// Each provider's exception of a status, and its `type` of the error.
const ERRORS = {
  openai: {
    400: [OpenAI.BadRequestError, 'invalid_request_error'],
    401: [OpenAI.AuthenticationError, 'invalid_request_error'],
    403: [OpenAI.PermissionDeniedError, 'request_forbidden'],
    404: [OpenAI.NotFoundError, 'invalid_request_error'],
    409: [OpenAI.ConflictError, 'invalid_request_error'],
    413: [OpenAI.APIError, 'invalid_request_error'],
    422: [OpenAI.UnprocessableEntityError, 'invalid_request_error'],
    429: [OpenAI.RateLimitError, 'requests'],
    500: [OpenAI.InternalServerError, 'server_error'],
    503: [OpenAI.InternalServerError, 'service_unavailable_error'],
  },
  anthropic: {
    400: [Anthropic.BadRequestError, 'invalid_request_error'],
    401: [Anthropic.AuthenticationError, 'authentication_error'],
    403: [Anthropic.PermissionDeniedError, 'permission_error'],
    404: [Anthropic.NotFoundError, 'not_found_error'],
    409: [Anthropic.ConflictError, 'invalid_request_error'],
    413: [Anthropic.APIError, 'request_too_large'],
    422: [Anthropic.UnprocessableEntityError, 'invalid_request_error'],
    429: [Anthropic.RateLimitError, 'rate_limit_error'],
    500: [Anthropic.InternalServerError, 'api_error'],
    529: [Anthropic.APIError, 'overloaded_error'],
  },
};

// What Node throws when a body ends before its end.
const isCut = (error) => error instanceof TypeError && error.message === 'terminated' && !('status' in error);
// The gateway's event that says so, as the SDK throws it. Node may lose it to the cut behind it.
const isTold = (error, SDK) =>
  error instanceof SDK.APIError && error.status === undefined && error.message.includes('upstream-closed');

// The clients of each way, by its name.
const clients = {};

ways('faults', (way) => {
  const openai = gpt(way);
  const anthropic = claude(way);
  const asks = {
    openai: (one, body, options) => openai.chat.completions.create(chat(body), { headers: one.headers, ...options }),
    anthropic: (one, body, options) => anthropic.messages.create(message(body), { headers: one.headers, ...options }),
  };

  clients[way.name] = { anthropic, asks };

  for (const [provider, ask] of Object.entries(asks)) {
    const SDK = { openai: OpenAI, anthropic: Anthropic }[provider];

    for (const [status, [kind, name]] of Object.entries(ERRORS[provider])) {
      for (const stream of [false, true]) {
        test(`${provider}: ${status}${stream ? ' of a stream' : ''}`, async () => {
          const one = new Case({ error_status: Number(status), retry_after: 7 });
          const error = await ask(one, { stream }).catch((error) => error);
          assert(error instanceof kind, error);
          assert.equal(error.status, Number(status));
          assert.equal((error.error.error ?? error.error).type, name);
          assert(error.message.includes((error.error.error ?? error.error).message));
          assert.match(error.requestID, /^req_/);
          assert.equal(error.headers.get('retry-after'), '7');
        });
      }
    }

    test(`${provider}: retry-after is obeyed`, async () => {
      const one = new Case({ error_status: 429, retry_after: 1, fail_attempts: 1 });
      await ask(one, {}, { maxRetries: 2 });
      const [first, second] = await one.seen();
      assert(second.arrived_ms - first.arrived_ms >= 1000);
    });

    for (const status of [409, 500, 529]) {
      test(`${provider}: a passing ${status} is retried`, async () => {
        const one = new Case({ error_status: status, fail_attempts: 1 });
        await ask(one, {}, { maxRetries: 2 });
        assert.equal((await one.seen()).length, 2);
      });
    }

    test(`${provider}: an error in mid-stream is thrown with its type`, async () => {
      let said = '';
      await assert.rejects(
        async () => {
          const one = new Case({ text: 'one two three', error_after: 2 });
          for await (const event of await ask(one, { stream: true })) said += token(event);
        },
        (error) => {
          assert(error instanceof SDK.APIError);
          return error.type === (provider === 'openai' ? 'server_error' : 'overloaded_error');
        },
      );
      assert.equal(said, 'one two');
    });

    for (const shape of [{}, { gzip: true }, { chunking: 'random:5' }]) {
      test(`${provider}: a connection cut in mid-stream is no end ${JSON.stringify(shape)}`, async () => {
        const one = new Case({ text: 'one two three', drop_after: 2, ...shape });
        let said = '';
        await assert.rejects(
          async () => {
            for await (const event of await ask(one, { stream: true })) said += token(event);
          },
          // The gateway says what happened as an event of the provider's; into a packed stream nothing can be put.
          (error) => isCut(error) || (way.name === 'relay' && !shape.gzip && isTold(error, SDK)),
        );
        // Node hands on what it has read only as far as it got before the cut.
        assert('one two'.startsWith(said));
        assert.equal((await one.seen()).length, 1);
      });
    }

    test(`${provider}: a document cut in its middle is no answer`, async () => {
      const one = new Case({ text: TEXT, drop_after: 2 });
      await assert.rejects(ask(one), isCut);
      assert.equal((await one.seen()).length, 1);
    });

    test(`${provider}: a stream left early is one hang-up`, async () => {
      const count = await hangUps();
      const one = new Case({ text: 'one two three', gate: true });
      const stream = await ask(one, { stream: true });
      await one.release();
      for await (const event of stream) {
        if (token(event) === 'one') break;
      }
      assert.equal(await count(), 1);
    });

    test(`${provider}: an aborted request is one hang-up`, async () => {
      const count = await hangUps();
      const controller = new AbortController();
      const asked = ask(new Case({ hang: 'head' }), {}, { signal: controller.signal });
      const rejected = assert.rejects(asked, SDK.APIUserAbortError);
      await until(async () => (await stats()).open === 1, 'the request');
      controller.abort();
      await rejected;
      assert.equal(await count(), 1);
    });

    test(`${provider}: the SDK's own timeout`, async () => {
      const count = await hangUps();
      // Long enough for the request to reach the stand-in on a busy machine, so that there is somebody to hang up on.
      await assert.rejects(ask(new Case({ hang: 'head' }), {}, { timeout: 3000 }), SDK.APIConnectionTimeoutError);
      assert.equal(await count(), 1);
    });
  }

  test('fifty streams at once, each with its own text', async () => {
    const gate = new Case({ gate: true });
    const run = async (number) => {
      const text = `${number}: ` + `word${number} `.repeat(number + 1);
      const one = new Case({ text, gate: gate.name, chunking: `random:${number}` });
      const stream = await asks[number % 2 ? 'openai' : 'anthropic'](one, { stream: true });
      assert.equal((await all(stream)).map(token).join(''), text);
    };
    const runs = Promise.all([...Array(50).keys()].map(run));
    // All are under way before any may go on.
    await Promise.race([until(async () => (await stats()).open === 50, 'fifty at once'), runs]);
    await gate.release(1_000_000);
    await runs;
  });
});

// On all ways at once, as waiting takes no work.
test('ten minutes of silence on a clock sixty times as fast', async () => {
  const silent = { text: TEXT, silence_ms: 10_000, silence_after: 3 };
  const thinking = { text: TEXT, first_token_ms: 10_000 };
  const streamed = async (ask, script) => {
    assert.equal((await all(await ask(new Case(script), { stream: true }))).map(token).join(''), TEXT);
  };
  const begin = Date.now();
  const waits = Object.values(clients).flatMap(({ anthropic, asks }) => [
    ...Object.values(asks).flatMap((ask) => [streamed(ask, silent), streamed(ask, thinking)]),
    anthropic.messages.create(message(), script(thinking)).then((answer) => assert.equal(answer.content[0].text, TEXT)),
  ]);
  await Promise.all(waits);
  assert(Date.now() - begin >= 10_000);
});
