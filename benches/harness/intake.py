"""The intake alone: webhooks of Shopify of about 12 KB, from a full raw topic into the inputs."""

import json
import random
import time

from . import command, measure, report
from .systems import Intake

RAW = "webhooks"
ADDRESS = {
    "first_name": "Ada", "last_name": "Birch", "address1": "Kastanienallee 12", "address2": None, "phone": "+49 30 1234567",
    "city": "Berlin", "zip": "10435", "province": "Berlin", "country": "Germany", "company": None, "latitude": 52.5387,
    "longitude": 13.4105, "name": "Ada Birch", "country_code": "DE", "province_code": "BE",
}  # fmt: skip


def run(stage, binary, options):
    """Lets the intake pass a raw topic on, `rounds` times; prints what it costs."""
    stage.tool.ask("create", topics=RAW, partitions=stage.partitions)
    path = stage.folder / "webhooks.jsonl"
    with open(path, "w") as file:
        for number in range(options.webhooks):
            file.write(json.dumps(webhook(random.Random(options.seed * 1_000_003 + number), number)) + "\n")
    loaded = stage.tool.ask("lines", topic=RAW, file=path)
    command.say(f"loaded {loaded['records']:,} webhooks, {loaded['bytes'] / loaded['records']:,.0f} B each")
    system, drains = Intake(binary), []
    for turn in range(options.rounds):
        job = stage.job(f"raw-{turn}", options.commit_interval, orders=f"in{turn}.orders", returns=f"in{turn}.returns", erasures=f"in{turn}.erasures")
        job.extra = options.set
        stage.tool.ask("create", topics=",".join([job.orders, job.returns, job.erasures]), partitions=stage.partitions)
        drained = drain(stage, system, job)
        natives = stage.tool.ask("size", topics=f"{job.orders},{job.returns}")["records"]
        drains.append(drained)
        command.say(
            f"round {turn + 1} intake {drained.events_per_second:>9,.0f} webhooks/s  {1e6 / drained.cpu_per_million:9,.0f} per CPU s  "
            f"{natives:,} native records  {drained.memory_peak / report.MEBI:6.0f} MiB"
        )
        measure.delete_outputs(stage, system, job)
    return 0


def drain(stage, system, job):
    measure.create_outputs(stage, system, job)
    stage.tool.send("watch", group=f"{job.name}-intake", topics=RAW)
    begin = time.monotonic()
    process = measure.start(stage, system, job)
    try:
        samples = measure.follow(stage, process, job)
        drained = measure.summary(stage, system, job, process, begin, samples)
    finally:
        process.terminate()
    return drained


def money(cents):
    return f"{cents // 100}.{cents % 100:02d}"


def price_set(cents):
    both = {"amount": money(cents), "currency_code": "EUR"}
    return {"shop_money": both, "presentment_money": both}


def webhook(draw, number):
    """An order of six lines with all that Shopify's REST API writes of one; each fifth has a refund."""
    lines = [line(draw, number, index) for index in range(6)]
    goods = sum(round(float(each["price"]) * 100) for each in lines)
    at = f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}T{number % 24:02d}:{number % 60:02d}:07+01:00"
    order = {
        "id": 5_940_000_000_000 + number, "admin_graphql_api_id": f"gid://shopify/Order/{5_940_000_000_000 + number}",
        "app_id": 580111, "browser_ip": "203.0.113.7", "buyer_accepts_marketing": False, "cancel_reason": None,
        "cancelled_at": None, "cart_token": "68778783ad298f1c80c3bafcddeea02f", "checkout_id": 901414060,
        "client_details": {"accept_language": "de-DE", "browser_height": 882, "browser_ip": "203.0.113.7", "browser_width": 1440,
                           "session_hash": None, "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},
        "closed_at": None, "confirmed": True, "contact_email": "ada@example.org", "created_at": at, "currency": "EUR",
        "current_subtotal_price": money(goods), "current_subtotal_price_set": price_set(goods), "current_total_price": money(goods + 490),
        "current_total_price_set": price_set(goods + 490), "customer_locale": "de", "discount_codes": [], "email": "ada@example.org",
        "financial_status": "paid", "fulfillment_status": None, "landing_site": "/", "name": f"#{1000 + number}", "note": None,
        "note_attributes": [], "number": number, "order_number": 1000 + number, "payment_gateway_names": ["shopify_payments"],
        "phone": None, "presentment_currency": "EUR", "processed_at": at, "referring_site": "", "source_name": "web",
        "subtotal_price": money(goods), "subtotal_price_set": price_set(goods), "tags": "", "taxes_included": True, "test": False,
        "total_discounts": "0.00", "total_discounts_set": price_set(0), "total_line_items_price": money(goods),
        "total_line_items_price_set": price_set(goods), "total_price": money(goods + 490), "total_price_set": price_set(goods + 490),
        "total_shipping_price_set": price_set(490), "total_tax": money(goods * 19 // 119), "total_weight": 1500, "updated_at": at,
        "user_id": None, "billing_address": ADDRESS, "shipping_address": ADDRESS,
        "customer": {"id": 7_100_000_000_000 + draw.randrange(10_000), "email": "ada@example.org", "state": "disabled", "note": None,
                     "verified_email": True, "tax_exempt": False, "tags": "", "currency": "EUR", "default_address": ADDRESS},
        "line_items": lines, "fulfillments": [], "refunds": [], "payment_terms": None,
        "shipping_lines": [{"id": 1, "code": "standard", "price": "4.90", "price_set": price_set(490), "title": "Standard", "tax_lines": []}],
    }  # fmt: skip
    if number % 5 == 0:
        cents = round(float(lines[0]["price"]) * 100)
        order["refunds"] = [{
            "id": 800_000_000 + number, "order_id": order["id"], "created_at": at, "processed_at": at, "note": None, "restock": True,
            "refund_line_items": [{"id": 1, "line_item_id": 1, "quantity": 1, "restock_type": "return", "subtotal": cents / 100,
                                   "subtotal_set": price_set(cents), "total_tax": 0, "line_item": lines[0]}],
            "transactions": [{"id": 1, "kind": "refund", "status": "success", "amount": money(cents), "currency": "EUR"}],
            "order_adjustments": [], "refund_shipping_lines": [],
        }]  # fmt: skip
    return order


def line(draw, number, index):
    cents = draw.randrange(500, 6_000)
    tax = {"channel_liable": False, "price": money(cents * 19 // 119), "price_set": price_set(cents * 19 // 119), "rate": 0.19, "title": "MwSt"}
    return {
        "id": 1_000_000 + number * 10 + index, "admin_graphql_api_id": f"gid://shopify/LineItem/{1_000_000 + number * 10 + index}",
        "attributed_staffs": [], "fulfillable_quantity": 1, "fulfillment_service": "manual", "fulfillment_status": None,
        "gift_card": False, "grams": 250, "name": f"Tea {draw.randrange(500)} - 250 g", "price": money(cents), "price_set": price_set(cents),
        "product_exists": True, "product_id": 632_910_000 + draw.randrange(500), "properties": [], "quantity": 1, "requires_shipping": True,
        "sku": f"TEA-{draw.randrange(500)}-250", "taxable": True, "title": "Tea", "total_discount": "0.00",
        "total_discount_set": price_set(0), "variant_id": 49_148_385, "variant_inventory_management": "shopify", "variant_title": "250 g",
        "vendor": "Tea shop", "tax_lines": [tax], "duties": [], "discount_allocations": [],
    }  # fmt: skip
