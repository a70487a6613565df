"""``hemma server resend | orders``: what gateways are asked for, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from devices import wire
from server.console import JsonOption, answer, gateway_name, inside
from server.store import gateway_orders
from server.store.database import Transaction
from server.store.gateway_orders import GatewayOrder


def _optional_name(name: str | None) -> str | None:
    return None if name is None else gateway_name(name)


def resend(
    gateway: Annotated[
        str | None, typer.Argument(help="The gateway's name.", callback=_optional_name)
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every gateway.")] = False,
    days: Annotated[
        float, typer.Option(min=0.01, max=wire.RESEND_DAYS_MAX, help="How far back.")
    ] = wire.RESEND_DAYS_MAX,
    as_json: JsonOption = False,
) -> None:
    """Ask a gateway, or all, to send stored rows again, after a restore from backup.

    Kept until the gateway answers: one that is away is asked when it comes online.
    """
    if (gateway is None) != everyone:
        raise typer.BadParameter("name one gateway, or --all", param_hint="GATEWAY")
    now = datetime.now(UTC)

    async def order(tx: Transaction) -> list[GatewayOrder]:
        return await gateway_orders.order_resend(
            tx,
            None if gateway is None else [gateway],
            since=now - timedelta(days=days),
            at=now,
            expires=now + timedelta(days=wire.RESEND_DAYS_MAX),
        )

    _show(inside(order), as_json=as_json)


def show_orders(as_json: JsonOption = False) -> None:
    """Show what gateways were asked for, newest first: answered, told, or waiting for them."""
    _show(inside(gateway_orders.listed), as_json=as_json)


def _show(found: list[GatewayOrder], *, as_json: bool) -> None:
    lines = [
        f"{one.gateway}  rows since {one.since:%Y-%m-%d %H:%M}Z  {_progress(one)}" for one in found
    ]
    answer([asdict(one) for one in found], "\n".join(lines) or "No orders.", as_json=as_json)


def _progress(order: GatewayOrder) -> str:
    if order.answered_at is not None:
        return f"answered {order.answered_at:%Y-%m-%d %H:%M}Z: {order.rows} rows"
    told = f"told {order.times} times" if order.times else "waits until it is online"
    return f"{told}, until {order.expires_at:%Y-%m-%d %H:%M}Z"
