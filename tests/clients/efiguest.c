/* A UEFI program for tests: says on COM1 that it runs, and stays. It calls nothing of the firmware. */
static void put(char c)
{
    unsigned char status;

    do
        __asm__ volatile("inb %1, %0" : "=a"(status) : "Nd"((unsigned short)0x3fd));
    while (!(status & 0x20));
    __asm__ volatile("outb %0, %1" : : "a"(c), "Nd"((unsigned short)0x3f8));
}

unsigned long efi_main(void *image, void *table);
unsigned long efi_main(void *image, void *table)
{
    static const char text[] = "EFI guest is up\r\n";

    (void)image;
    (void)table;
    for (const char *p = text; *p; p++)
        put(*p);
    for (;;)
        __asm__ volatile("hlt");
}
