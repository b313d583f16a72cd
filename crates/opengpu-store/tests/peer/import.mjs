// The reference importer as a peer: reads described trees from stdin, writes them back with the CIDs that the npm package
// `ipfs-unixfs-importer` gives them. `tests/tree/mod.rs` says what a description means.
//
// The committed vectors are renewed with: node import.mjs < ../vectors/unixfs.json > new.json

import { importer } from 'ipfs-unixfs-importer'

const CHUNK = 1 << 20
const nowhere = { put: async (cid) => cid }

// The same bytes as `content` in tests/tree/mod.rs: the top byte of a linear congruential generator.
function * content ({ size, seed }) {
  let state = seed >>> 0
  for (let done = 0; done < size; done += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - done))
    for (let i = 0; i < chunk.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      chunk[i] = state >>> 24
    }
    yield chunk
  }
}

function * zeros (size) {
  for (let done = 0; done < size; done += CHUNK) {
    yield new Uint8Array(Math.min(CHUNK, size - done))
  }
}

function candidate (entry, index) {
  const path = entry.path.replace('#', index)
  if (entry.link !== undefined) return { path, link: entry.link }
  if (entry.zeros !== undefined) return { path, content: zeros(entry.zeros) }
  if (entry.size !== undefined) return { path, content: content({ size: entry.size, seed: entry.seed + index }) }
  return { path }
}

function * candidates (tree) {
  for (const entry of tree) {
    const first = entry.first ?? 0
    for (let index = first; index < first + (entry.count ?? 1); index++) yield candidate(entry, index)
  }
}

async function cidOf (tree) {
  const isFile = tree.length === 1 && tree[0].path === ''
  // An importer given nothing makes nothing; an empty directory must be given by name, and its wrapper then ignored.
  if (tree.length === 0) tree = [{ path: 'empty' }]
  const isEmpty = tree.length === 1 && tree[0].path === 'empty'
  const options = { profile: 'unixfs-v1-2025', wrapWithDirectory: !isFile && !isEmpty }
  let last
  for await (const entry of importer(candidates(tree), nowhere, options)) last = entry
  return last.cid.toString()
}

let input = ''
for await (const part of process.stdin) input += part
const described = []
for (const { name, tree } of JSON.parse(input)) described.push({ name, cid: await cidOf(tree), tree })
process.stdout.write('[\n' + described.map((one) => '  ' + JSON.stringify(one)).join(',\n') + '\n]\n')
