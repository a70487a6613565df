"""Virtual devices and invented people: Bumble peripherals and stories made with the same codec.

Reading order: README.md. May use bumble, bleak and asyncio; no production module imports this
package.
"""
