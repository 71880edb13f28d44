/* global Response */
import { revalidatePath, revalidateTag } from 'next/cache'
import handler from '../../cache-handler.mjs'

export async function POST(request) {
  const { by, path, profile } = await request.json()
  if (by === 'handler') await handler.updateTags(['value'])
  else if (path === undefined) revalidateTag('value', profile ?? { expire: 0 })
  else revalidatePath(path)
  return new Response('revalidated')
}
