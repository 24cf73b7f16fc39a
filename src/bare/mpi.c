/* MPI, bare: MPI_Init(3), MPI_Comm_rank(3), MPI_Send(3), MPI_Recv(3), MPI_Finalize(3).
   Wire: one MPI_UINT32_T with the tag 1, from rank 1 to rank 0.
   Not here: a world of one rank, a message that is no number, an error that ends all ranks.
   See chapter mpi. A call that fails ends all ranks, unless the program says otherwise.
   mpicc -Wall mpi.c -o mpi; mpiexec -n 2 ./mpi send-receive 4711 */
#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 1 }; /* the tag */

static void receiver(void)
{
    uint32_t number = 0;
    /* sleeps, or spins, until it comes */
    MPI_Recv(&number, 1, MPI_UINT32_T, 1, NUMBER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (dprintf(1, "%" PRIu32 "\n", number) == -1)
        MPI_Abort(MPI_COMM_WORLD, (perror("write"), 1));
}

static void sender(uint32_t number)
{
    /* may sleep until rank 0 receives */
    MPI_Send(&number, 1, MPI_UINT32_T, 0, NUMBER, MPI_COMM_WORLD);
}

int main(int argc, char *argv[])
{
    char *end = "";
    long long number = argc == 3 && *argv[2] ? strtoll(argv[2], &end, 10) : -1;
    int valid = number >= 0 && number <= UINT32_MAX && *end == '\0';
    if (!valid || strcmp(argv[1], "send-receive") != 0)
        return fprintf(stderr, "usage: mpi send-receive NUMBER\n"), 2;
    MPI_Init(&argc, &argv); /* sleeps until all ranks are there */
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        receiver();
    else if (rank == 1)
        sender(number);
    MPI_Finalize(); /* sleeps until all ranks have come to it */
}
