/* A struct that a later build adds a member to. */
struct request {
    int kept;
#ifdef NEW
    int added;
#endif
};

__attribute__((noinline)) int take(struct request *p)
{
    return p->kept;
}

int main(void)
{
    struct request request = { 1 };
    return take(&request) - 1;
}
