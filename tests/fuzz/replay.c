/* Plays stored inputs, one after the other: the corpus as a test, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int play(const char *folder, const char *name)
{
    static uint8_t bytes[65536];
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
    return 1;
}

int main(int count, char **folders)
{
    int played = 0;
    for (int i = 1; i < count; i++) {
        DIR *list = opendir(folders[i]);
        for (struct dirent *entry; list && (entry = readdir(list));) {
            if (entry->d_name[0] != '.')
                played += play(folders[i], entry->d_name);
        }
        if (list)
            closedir(list);
    }
    printf("%d inputs played\n", played);
    return !played;
}
