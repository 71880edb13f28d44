/* global fetch */
import { createElement } from 'react'

export async function getStaticProps() {
  const response = await fetch(process.env.SOURCE_URL)
  return { props: { value: await response.text() }, revalidate: 3600 }
}

export default function Listing({ value }) {
  return createElement('p', null, value)
}
