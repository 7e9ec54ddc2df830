// nostr-tools on a pipe: one JSON command a line on stdin, one JSON answer a line on stdout.
// {id, name, ...} -> {id, value} or {id, error}; live events come as {live: subscription, event}.
// Everything that touches the relay is nostr-tools: Relay, SimplePool, nip11, pure.
import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { fetchRelayInformation } from 'nostr-tools/nip11'
import { unwrapEvent, wrapEvent } from 'nostr-tools/nip59'
import { SimplePool, useWebSocketImplementation as usePoolWebSocket } from 'nostr-tools/pool'
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'

useWebSocketImplementation(WebSocket)
usePoolWebSocket(WebSocket)

const secret = generateSecretKey()
const pool = new SimplePool()
const say = (message) => process.stdout.write(JSON.stringify(message) + '\n')
let relay

const commands = {
  async connect({ url }) {
    relay = await Relay.connect(url)
    relay.publishTimeout = 10_000
    return { pubkey: getPublicKey(secret) }
  },
  async publish({ template }) {
    const event = finalizeEvent(template, secret)
    await relay.publish(event) // rejects with the relay's text unless it says OK true
    return event
  },
  async log_in() {
    await relay.auth((template) => finalizeEvent(template, secret))
  },
  async wrap({ recipient, text }) {
    const event = wrapEvent({ kind: 14, content: text, tags: [['p', recipient]] }, secret, recipient)
    await relay.publish(event)
    return event
  },
  async unwrap({ wrap }) {
    return unwrapEvent(wrap, secret).content
  },
  async query({ filter }) {
    const events = await pool.querySync([relay.url], filter, { maxWait: 10_000 })
    for (const event of events) if (!verifyEvent(event)) throw new Error(`${event.id} does not verify`)
    return events
  },
  async follow({ subscription, filter }) {
    await new Promise((resolve, reject) => {
      relay.subscribe([filter], {
        eoseTimeout: 20_000,
        onevent: (event) => say({ live: subscription, event }),
        oneose: resolve,
        onclose: (reason) => reject(new Error(`closed: ${reason}`)),
      })
    })
  },
  async information({ url }) {
    return fetchRelayInformation(url)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, name, ...parameters } = JSON.parse(line)
  commands[name](parameters).then(
    (value) => say({ id, value: value ?? null }),
    (error) => say({ id, error: String(error?.message ?? error) }),
  )
}
process.exit(0)
