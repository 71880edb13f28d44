import { createElement } from 'react'
import { readValue } from '../read-value.js'

export default async function Page() {
  return createElement('p', null, await readValue())
}
