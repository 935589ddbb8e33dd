"""A FastAPI application that has the caching proxy at /llm, and uses the same cache itself.

python examples/fastapi_app.py --port 8000
curl 'http://127.0.0.1:8000/ask?question=Why+is+the+sky+blue'
curl http://127.0.0.1:8000/llm/v1/chat/completions -H 'content-type: application/json' \
         -d '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import uvicorn
from fastapi import FastAPI

from llm_cache import LLMCache, last_call, wrap_openai
from llm_cache.proxy import create_app

# "shared": what the application has asked is a hit at /llm too, whoever asks. Without it the proxy answers each caller
# from what that caller's own credentials have fetched, and from nothing else.
cache = LLMCache(proxy_scope="shared")
proxy = create_app(cache)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    # A mounted application is not told of startup and shutdown; whoever mounts it tells it.
    async with cache, openai.AsyncOpenAI() as client, wrap_openai(client, cache):
        app.state.client = client
        await proxy.start()
        yield
        await proxy.close()


app = FastAPI(lifespan=lifespan)
app.mount("/llm", proxy)


@app.get("/ask")
async def ask(question: str) -> dict[str, str | None]:
    reply = await app.state.client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": question}]
    )
    call = last_call()
    return {"answer": reply.choices[0].message.content, "cache": call.status if call else None}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, port=parser.parse_args().port)
