"""A chat in the browser that streams: what was asked before is there at once, word by word like the first time.

python examples/web_chat.py --port 8080     and open http://127.0.0.1:8080
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

import openai
from aiohttp import web

from llm_cache import LLMCache, last_call, wrap_openai

PAGE = Path(__file__).with_suffix(".html")
CLIENT = web.AppKey("client", openai.AsyncOpenAI)


async def page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE)


async def chat(request: web.Request) -> web.StreamResponse:
    """Pass the model's words on as they come; the first line says whether they are from the cache."""
    asked = await request.json()
    stream = await request.app[CLIENT].chat.completions.create(
        model="gpt-4o-mini",
        messages=asked["messages"],
        stream=True,
        stream_options={"include_usage": True},  # without it the cost of a stream stays unknown
    )
    call = last_call()
    reply = web.StreamResponse(headers={"content-type": "text/plain; charset=utf-8"})
    reply.headers["x-cache"] = call.status if call else ""
    await reply.prepare(request)
    async with stream:
        async for chunk in stream:
            for choice in chunk.choices:
                await reply.write((choice.delta.content or "").encode())
    await reply.write_eof()
    return reply


async def caching(app: web.Application) -> AsyncIterator[None]:
    async with LLMCache() as cache, openai.AsyncOpenAI() as client, wrap_openai(client, cache):
        app[CLIENT] = client
        yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080)
    app = web.Application()
    app.cleanup_ctx.append(caching)
    app.add_routes([web.get("/", page), web.post("/chat", chat)])
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
